"""What a person sees of a run: a live bar on a terminal, a line every 30 s elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.execution.progress import RunProgress

SECONDS_BETWEEN_LINES = 30.0  # seconds


@contextmanager
def show_progress() -> Iterator[RunProgress]:
    """Follow a run on standard error, as it suits what that is connected to."""
    console = Console(stderr=True)
    if console.is_terminal:
        with ProgressBar(console) as bar:
            yield bar
    else:
        lines = ProgressLines()
        try:
            yield lines
        finally:
            lines.close()


class ProgressBar(RunProgress):
    """A live bar: pictures done, failed, pictures per second, time left."""

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
        self._work: TaskID | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def listing(self, done: int, photos: int) -> None:
        """Show the listing of a folder."""
        if self._listing is None:
            self._listing = self._progress.add_task("listing", total=photos, state="")
        self._progress.update(self._listing, completed=done)

    def notice(self, text: str) -> None:
        """Print a notice above the bar."""
        self._progress.console.print(f"[yellow]note:[/] {escape(text)}", highlight=False)

    def begin(self, pictures: int) -> None:
        """Show an empty bar while Ray and the models start."""
        self._began = time.monotonic()
        self._work = self._progress.add_task("converting", total=pictures, state="starting Ray and loading models")

    def advance(self, done: int, failed: int) -> None:
        """Move the bar."""
        if self._work is not None:
            rate = (done + failed) / max(1e-9, time.monotonic() - self._began)
            state = f"{failed} failed, {rate:.2f} photos/s"
            self._progress.update(self._work, completed=done + failed, state=state)


class ProgressLines(RunProgress):
    """One line now and then, for logs."""

    def __init__(self, every: float = SECONDS_BETWEEN_LINES) -> None:
        self._every = every
        self._listed = time.monotonic()
        self._counts = (0, 0, 0)  # pictures, done, failed
        self._began = time.monotonic()
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def listing(self, done: int, photos: int) -> None:
        """Say how far the listing is, now and then and at its end."""
        if done == photos or time.monotonic() - self._listed > self._every:
            self._listed = time.monotonic()
            _say(f"listing: {done} of {photos} photos")

    def notice(self, text: str) -> None:
        """Say it."""
        _say(f"note: {text}")

    def begin(self, pictures: int) -> None:
        """Say how much there is to do, and start the clock."""
        self._counts, self._began = (pictures, 0, 0), time.monotonic()
        _say(f"converting {pictures} pictures: starting Ray and loading models")
        self._clock.start()

    def advance(self, done: int, failed: int) -> None:
        """Note it for the next line."""
        self._counts = (self._counts[0], done, failed)

    def close(self) -> None:
        """End the clock."""
        self._closed.set()

    def _tick(self) -> None:
        while not self._closed.wait(self._every):
            _say(self._line())

    def _line(self) -> str:
        pictures, done, failed = self._counts
        seconds = max(1e-9, time.monotonic() - self._began)
        rate = (done + failed) / seconds
        left = f"{(pictures - done - failed) / rate:.0f} s left" if rate else "no picture yet"
        return f"{done} of {pictures} done, {failed} failed, {rate:.2f} photos/s, {seconds:.0f} s gone, {left}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line's own voice
