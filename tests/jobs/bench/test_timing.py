"""Two ways side by side: the ratio is theirs, and bounds are said and kept."""

import time

import pytest

from jobs.bench.timing import TimedRow, Timing, side_by_side


def test_twice_as_long_is_twice_as_long() -> None:
    timing = side_by_side(lambda: time.sleep(0.02), lambda: time.sleep(0.01), rounds=3)
    assert timing.ratio == pytest.approx(2, rel=0.3)
    assert timing.milliseconds == pytest.approx(20, rel=0.3)
    assert timing.cpu_seconds < 0.005  # sleeping is no work


def test_what_takes_long_is_timed_once_after_it_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.bench.timing.LONG", 0.001)
    calls: list[str] = []
    side_by_side(lambda: (calls.append("ours"), time.sleep(0.06)), lambda: calls.append("bare"), rounds=9)
    assert calls.count("ours") == 2


@pytest.mark.parametrize(
    ("bounds", "wanted", "holds"),
    [
        ({}, "", None),
        ({"at_most": 0.6}, "<= 0.6", True),
        ({"at_most": 0.4}, "<= 0.4", False),
        ({"at_least": 1.5}, "at least 1.5 times as fast", True),
        ({"at_least": 2.5}, "at least 2.5 times as fast", False),
    ],
)
def test_bounds(bounds: dict[str, float], wanted: str, holds: bool | None) -> None:  # noqa: FBT001 - an expectation
    row = TimedRow("ours", "theirs", Timing(1.0, 0.001, 2.0), **bounds)
    assert (row.wanted, row.holds) == (wanted, holds)
