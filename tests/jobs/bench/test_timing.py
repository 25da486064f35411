"""Timing of functions, and the bounds of a timing relative to its baseline."""

import pytest

from jobs.bench.timing import TimedRow, Timing, compare


def test_slow_functions_are_timed_once_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.bench.timing.LONG_CALL", 0.0)
    monkeypatch.setattr("jobs.bench.timing.MIN_SAMPLE", 0.0)
    calls: list[str] = []
    compare(lambda: calls.append("photo2anime"), lambda: calls.append("baseline"), rounds=9)
    assert calls == ["photo2anime", "baseline"] * 2


@pytest.mark.parametrize(
    ("bounds", "target", "passed"),
    [
        ({}, "", None),
        ({"max_ratio": 0.6}, "ratio <= 0.6", True),
        ({"max_ratio": 0.4}, "ratio <= 0.4", False),
        ({"min_speedup": 1.5}, "speedup >= 1.5", True),
        ({"min_speedup": 2.5}, "speedup >= 2.5", False),
    ],
)
def test_a_row_passes_within_its_bound(bounds: dict[str, float], target: str, passed: bool | None) -> None:  # noqa: FBT001 - an expected value
    row = TimedRow("photo2anime", "baseline", Timing(1.0, 0.001, 2.0), **bounds)
    assert (row.target, row.passed) == (target, passed)
