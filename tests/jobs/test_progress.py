"""The progress of a run: a bar on a terminal, and log records elsewhere."""

import io
import logging
import time
from itertools import pairwise

import pytest
from rich.console import Console

from jobs.progress import ProgressBar, ProgressLog, show_progress, track_items


@pytest.fixture(autouse=True)
def info_level(caplog: pytest.LogCaptureFixture) -> None:
    """Capture records of level info."""
    caplog.set_level(logging.INFO, "photo2anime")


def test_progress_is_logged_periodically(caplog: pytest.LogCaptureFixture) -> None:
    progress = ProgressLog(interval=0.05)
    progress.begin(10)
    progress.advance(3, 1)
    deadline = time.monotonic() + 30
    while len(caplog.messages) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    progress.close()
    assert caplog.messages[0] == "converting 10 images: loading models"
    last = caplog.messages[2]
    assert last.startswith("3 of 10 done, 1 failed, ")
    assert "images/s" in last
    assert "s left" in last
    assert {(record.name, record.levelname) for record in caplog.records} == {("photo2anime.run", "INFO")}


def test_the_end_of_a_listing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    progress = ProgressLog()
    for done in range(1, 4):
        progress.listing(done, 3)
    assert caplog.messages == ["listing: 3 of 3 photos"]


def test_the_bar_of_a_listing_follows_the_number_of_photos() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar(console) as bar:
        bar.listing(0, 5)
        bar.listing(6, 9)
    assert "6/9" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_bar_shows_done_failed_rate_and_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar(console) as bar:
        bar.listing(2, 2)
        bar.begin(4)
        bar.advance(2, 1)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3/4" in output
    assert "1 failed" in output
    assert "images/s" in output


def test_without_a_terminal_progress_is_logged() -> None:
    with show_progress() as progress:
        assert isinstance(progress, ProgressLog)


def test_tracked_items_keep_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert track_items(pairwise("abc"), "pairs") == [("a", "b"), ("b", "c")]
    assert capsys.readouterr().err == ""
