"""Timing of a function next to its baseline. On a busy machine only the ratio of the two is reliable."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LONG_CALL = 1.0  # seconds; if a call or its baseline takes longer, there is only one round of timing
MIN_SAMPLE = 0.05  # seconds; shorter calls are repeated to fill one sample


@dataclass(frozen=True)
class Timing:
    """The cost of one call of photo2anime, and of the baseline."""

    milliseconds: float
    cpu_seconds: float
    baseline_milliseconds: float

    @property
    def ratio(self) -> float:
        """The time of photo2anime divided by the time of the baseline."""
        return self.milliseconds / max(self.baseline_milliseconds, 1e-6)


@dataclass(frozen=True)
class TimedRow:
    """One row of the table: a timing, the name of its baseline, and the bound of its ratio, if it has one."""

    name: str
    baseline: str
    timing: Timing
    max_ratio: float | None = None
    min_speedup: float | None = None

    @property
    def target(self) -> str:
        """The bound as text."""
        if self.max_ratio is not None:
            return f"ratio <= {self.max_ratio:g}"
        return "" if self.min_speedup is None else f"speedup >= {self.min_speedup:g}"

    @property
    def passed(self) -> bool | None:
        """Whether the ratio is within its bound, or None without one."""
        if self.max_ratio is not None:
            return self.timing.ratio <= self.max_ratio
        return None if self.min_speedup is None else 1 / self.timing.ratio >= self.min_speedup


def compare(call: Callable[[], object], baseline: Callable[[], object], rounds: int) -> Timing:
    """Time two functions in turns, and keep the fastest round of each, because slower rounds were disturbed.

    Each function is first called once to warm up. If either call takes longer than `LONG_CALL`, there is one round.
    """
    warm_up = [_seconds(function, 1)[0] for function in (call, baseline)]
    repeats = [max(1, int(MIN_SAMPLE / max(seconds, 1e-7))) for seconds in warm_up]
    rounds = 1 if max(warm_up) > LONG_CALL else rounds
    samples = [(_seconds(call, repeats[0]), _seconds(baseline, repeats[1])) for _ in range(rounds)]
    wall, cpu = min(sample for sample, _ in samples)
    return Timing(1000 * wall, cpu, 1000 * min(sample[0] for _, sample in samples))


def _seconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the mean wall and CPU seconds of one call."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats, (time.process_time() - cpu) / repeats
