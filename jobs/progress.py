"""The progress of a run: a live bar on a terminal, a log record every 30 s elsewhere."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)

from jobs.logging_setup import progress_console
from pipeline.execution.progress import RunProgress

LOGGER = logging.getLogger("photo2anime.run")
LOG_INTERVAL = 30.0  # seconds

Item = TypeVar("Item")


@contextmanager
def show_progress() -> Iterator[RunProgress]:
    """Report the progress of a run on standard error, as a bar if the log is text on a terminal."""
    console = progress_console()
    if console is not None:
        with ProgressBar(console) as bar:
            yield bar
    else:
        log = ProgressLog()
        try:
            yield log
        finally:
            log.close()


def track_items(items: Iterable[Item], description: str) -> list[Item]:
    """Collect items, and show a bar meanwhile if the log is text on a terminal."""
    console = progress_console()
    return list(track(items, description, console=console, disable=console is None))


class ProgressBar(RunProgress):
    """A live bar: done and failed images, images per second, and the elapsed and remaining time."""

    def __init__(self, console: Console) -> None:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(TextColumn("{task.description}"), *columns, console=console)
        self._listing: TaskID | None = None
        self._conversion: TaskID | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def listing(self, done: int, photos: int) -> None:
        """Show the progress of listing a folder."""
        if self._listing is None:
            self._listing = self._progress.add_task("listing", total=photos, state="")
        self._progress.update(self._listing, completed=done, total=photos)

    def begin(self, images: int) -> None:
        """Show an empty bar while the models are loaded."""
        self._began = time.monotonic()
        self._conversion = self._progress.add_task("converting", total=images, state="loading models")

    def advance(self, done: int, failed: int) -> None:
        """Move the bar."""
        if self._conversion is not None:
            rate = (done + failed) / max(1e-9, time.monotonic() - self._began)
            state = f"{failed} failed, {rate:.2f} images/s"
            self._progress.update(self._conversion, completed=done + failed, state=state)


class ProgressLog(RunProgress):
    """A log record of the progress every `interval` seconds."""

    def __init__(self, interval: float = LOG_INTERVAL) -> None:
        self._interval = interval
        self._last_listing = time.monotonic()
        self._counts = (0, 0, 0)  # images in all, done, failed
        self._began = time.monotonic()
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._log_periodically, daemon=True)

    def listing(self, done: int, photos: int) -> None:
        """Log the progress of listing a folder, at each interval and at the end."""
        if done == photos or time.monotonic() - self._last_listing > self._interval:
            self._last_listing = time.monotonic()
            LOGGER.info("listing: %d of %d photos", done, photos)

    def begin(self, images: int) -> None:
        """Log the number of images, and start the clock."""
        self._counts, self._began = (images, 0, 0), time.monotonic()
        LOGGER.info("converting %d images: loading models", images)
        self._clock.start()

    def advance(self, done: int, failed: int) -> None:
        """Store the counts for the next record."""
        self._counts = (self._counts[0], done, failed)

    def close(self) -> None:
        """Stop the clock."""
        self._closed.set()

    def _log_periodically(self) -> None:
        while not self._closed.wait(self._interval):
            LOGGER.info(self._line())

    def _line(self) -> str:
        total, done, failed = self._counts
        seconds = max(1e-9, time.monotonic() - self._began)
        rate = (done + failed) / seconds
        remaining = f"{(total - done - failed) / rate:.0f} s left" if rate else "no image yet"
        return f"{done} of {total} done, {failed} failed, {rate:.2f} images/s, {seconds:.0f} s elapsed, {remaining}"
