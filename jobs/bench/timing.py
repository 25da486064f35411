"""Two ways to the same thing, timed side by side: what counts on a busy machine is their ratio within one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LEAST = 0.02  # seconds of one sample: shorter calls are repeated within it


@dataclass(frozen=True)
class Timing:
    """Milliseconds and seconds of CPU of one call of ours, and the milliseconds of the bare calls beside it."""

    milliseconds: float
    cpu_seconds: float
    bare_milliseconds: float

    @property
    def ratio(self) -> float:
        """How many times as long as the bare call ours takes."""
        return self.milliseconds / max(self.bare_milliseconds, 1e-6)


def side_by_side(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 7) -> Timing:
    """Time both in turns, and keep the fastest round of each: what is slower was disturbed by others."""
    repeats = [max(1, int(LEAST / max(_seconds(call, 1)[0], 1e-7))) for call in (ours, bare)]  # and both are warm
    samples = [(_seconds(ours, repeats[0]), _seconds(bare, repeats[1])) for _ in range(rounds)]
    wall, cpu = min(first for first, _ in samples)
    return Timing(1000 * wall, cpu, 1000 * min(second[0] for _, second in samples))


def _seconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the seconds of one call, by the clock and of this process's CPU, as the mean of `repeats`."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats, (time.process_time() - cpu) / repeats
