"""One measured part of a benchmark: seconds, CPU seconds and memory, and what limits its speed."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

MIB = 2**20
BUSY = 0.8  # the share of the cores from which on the CPU limits the speed
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Part:
    """A measured part.

    Attributes:
        name: What was measured.
        rows: The number of rows.
        seconds: The duration.
        cpu_seconds: The CPU time of this process.
        peak_memory: The largest resident memory of this process until the end of the part, in bytes.
    """

    name: str
    rows: int
    seconds: float
    cpu_seconds: float
    peak_memory: int

    def without(self, other: "Part") -> "Part":
        """Return this part without a part that was measured within it."""
        seconds, cpu_seconds = self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds
        return replace(self, seconds=seconds, cpu_seconds=cpu_seconds)

    @property
    def bound(self) -> str:
        """What limits the speed: the cores of the machine, one thread, or waiting for disk, network or processes."""
        cores = self.cpu_seconds / max(self.seconds, 1e-9)
        if cores > BUSY * core_count():
            return "CPU"
        return "CPU of one thread" if cores > BUSY else f"waiting ({cores:.1f} cores busy)"


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_core_seconds() -> float:
    """Return the seconds that the cores of this machine have worked since it started. 0 if they are unknown."""
    status = Path("/proc/stat")
    if not status.exists():
        return 0.0
    user, nice, system, _idle, _waiting, *interrupts = map(int, status.read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def describe_load() -> str:
    """Return the load of this machine, the mean number of running processes in the last minute, as text."""
    return f"load {os.getloadavg()[0]:.1f}"


def measure(name: str, rows: int, function: Callable[[], object]) -> Part:
    """Call a function once and measure it."""
    begin, cpu = time.perf_counter(), time.process_time()
    function()
    return Part(name, rows, time.perf_counter() - begin, time.process_time() - cpu, peak_memory())


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def private_memory() -> int:
    """Return the resident memory of this process without shared memory, in bytes. 0 if it is unknown."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    sizes = [line.split() for line in lines if line.startswith(("RssAnon:", "RssFile:"))]
    return 1024 * sum(int(size) for _, size, _ in sizes)


@dataclass
class MemorySamples:
    """Samples of the private memory of this process, in bytes."""

    values: list[int]

    def describe(self) -> str:
        """Return the smallest, the median and the largest sample as text."""
        smallest, middle, largest = (
            f"{value / MIB:.0f}" for value in (min(self.values), median(self.values), max(self.values))
        )
        return f"{smallest} / {middle} / {largest} MiB"


@contextmanager
def sampled_memory() -> Iterator[MemorySamples]:
    """Sample the private memory of this process in a thread."""
    samples, stop = MemorySamples([private_memory()]), threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.values.append(private_memory())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        samples.values.append(private_memory())


def parts_table(parts: Sequence[Part], title: str) -> "Table":
    """Return a table of parts."""
    from rich.table import Column, Table

    names = ("rows", "s", "CPU s", "rows/s", "peak MiB")
    numbers = (Column(name, justify="right", no_wrap=True) for name in names)
    table = Table(Column("what"), *numbers, "bound by", title=title)
    for part in parts:
        rate = f"{part.rows / max(part.seconds, 1e-9):,.0f}"
        figures = (
            f"{part.rows:,}",
            f"{part.seconds:.1f}",
            f"{part.cpu_seconds:.1f}",
            rate,
            f"{part.peak_memory / MIB:,.0f}",
        )
        table.add_row(part.name, *figures, part.bound)
    return table
