"""Two ways to the same thing, timed side by side: what counts on a busy machine is their ratio within one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LONG = 1.0  # seconds
LEAST = 0.05  # seconds of one sample: shorter calls are repeated within it


@dataclass(frozen=True)
class Timing:
    """Milliseconds and seconds of CPU of one call of ours, and the milliseconds of the bare call beside it."""

    milliseconds: float
    cpu_seconds: float
    bare_milliseconds: float

    @property
    def ratio(self) -> float:
        """How many times as long as the bare call ours takes."""
        return self.milliseconds / max(self.bare_milliseconds, 1e-6)


@dataclass(frozen=True)
class TimedRow:
    """One line of a table: what was timed, beside what, and the bounds of the ratio, where any is wanted."""

    what: str
    beside: str
    timing: Timing
    at_most: float | None = None
    at_least: float | None = None

    @property
    def wanted(self) -> str:
        """Say the bounds."""
        most = f"<= {self.at_most:g}" if self.at_most is not None else ""
        return most or (f"at least {self.at_least:g} times as fast" if self.at_least is not None else "")

    @property
    def holds(self) -> bool | None:
        """Tell whether the ratio is within its bounds; None where none is wanted."""
        if self.at_most is not None:
            return self.timing.ratio <= self.at_most
        return None if self.at_least is None else 1 / self.timing.ratio >= self.at_least


def side_by_side(ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> Timing:
    """Time both in turns, and keep the fastest round of each: what is slower was disturbed by others.

    What takes longer than `LONG` is timed once, after the call that makes it warm.
    """
    first = [_seconds(call, 1)[0] for call in (ours, bare)]
    repeats = [max(1, int(LEAST / max(seconds, 1e-7))) for seconds in first]
    rounds = 1 if max(first) > LONG else rounds
    samples = [(_seconds(ours, repeats[0]), _seconds(bare, repeats[1])) for _ in range(rounds)]
    wall, cpu = min(first for first, _ in samples)
    return Timing(1000 * wall, cpu, 1000 * min(second[0] for _, second in samples))


def _seconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the seconds of one call, by the clock and of this process's CPU, as the mean of `repeats`."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats, (time.process_time() - cpu) / repeats
