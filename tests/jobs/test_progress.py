"""What a person sees: a bar on a terminal, lines elsewhere."""

import io
import time

import pytest
from rich.console import Console

from jobs.progress import ProgressBar, ProgressLines, show_progress


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines(every=0.05)
    lines.notice("no weights for depth")
    lines.begin(10)
    lines.advance(3, 1)
    time.sleep(0.2)
    lines.close()
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["note: no weights for depth", "converting 10 pictures: starting Ray and loading models"]
    assert said[2].startswith("3 of 10 done, 1 failed, ")
    assert "photos/s" in said[2]
    assert "s left" in said[2]


def test_a_listing_says_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines()
    for done in range(1, 4):
        lines.listing(done, 3)
    assert capsys.readouterr().err.splitlines() == ["listing: 3 of 3 photos"]


def test_the_bar_shows_done_failed_rate_and_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar(console) as bar:
        bar.listing(2, 2)
        bar.notice("look")
        bar.begin(4)
        bar.advance(2, 1)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "note:" in shown
    assert "3/4" in shown
    assert "1 failed" in shown
    assert "photos/s" in shown


def test_off_a_terminal_there_are_lines() -> None:
    with show_progress() as follower:
        assert isinstance(follower, ProgressLines)
