"""photo2anime bench crossing: measure the CPU time that photos need between the steps of a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from jobs.bench.synthetic_rows import Crossing

GOAL = 8.0  # milliseconds of CPU time per photo in all crossings of a run, for photos of 512x512 with three maps
PARTS = ("to table", "pack", "store", "unpack", "to rows")


@dataclass(frozen=True)
class Cost:
    """The CPU time of one crossing, in milliseconds per photo.

    Attributes:
        name: The steps before and after the crossing.
        parts: The median time of each of `PARTS`.
        bytes: The size of the packed table per photo.
    """

    name: str
    parts: dict[str, float]
    bytes: int

    @property
    def milliseconds(self) -> float:
        """The time of all parts."""
        return sum(self.parts.values())


def crossing(
    size: Annotated[int, typer.Option(min=1, help="The side of the square photos, in pixels.")] = 512,
    rows: Annotated[int, typer.Option(min=1, help="The number of photos in a batch.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="The number of timings; the median counts.")] = 9,
) -> None:
    """Measure the CPU time of passing photos with three control maps between all steps of a run.

    Each crossing converts rows to a table and packs it as one batch, and the next step reverses that. Steps that run in
    other processes receive the batch through Ray's object store (store). KB is the size of a photo in the batch. The
    baseline is a copy of all packed bytes in memory.
    """
    # Imported here so that the help of the command line starts fast.
    from rich.console import Console

    from jobs.bench.synthetic_rows import run_crossings
    from pipeline.execution.cluster import connect_ray

    with connect_ray(None):
        costs = [measure(each, rounds, through_object_store) for each in run_crossings(rows, size)]
    total, packed = sum(cost.milliseconds for cost in costs), rows * sum(cost.bytes for cost in costs)
    copy = measure_copy(packed, rounds) / rows
    console = Console()
    console.print(_table(costs, f"CPU ms per photo: {rows} photos of {size}x{size} with three control maps"))
    console.print(f"Memory copy of the same bytes: {copy:.2f} ms per photo, ratio {total / copy:.1f}")
    answer = "yes" if total <= GOAL else "no"
    console.print(f"Goal for 512x512: at most {GOAL:g} ms per photo in all: {answer}, {total:.2f} ms")


def through_object_store(batch: "pa.Table") -> "pa.Table":
    """Put a table into Ray's object store, and get it."""
    import ray

    return ray.get(ray.put(batch))


def measure(crossing: "Crossing", rounds: int, store: "Callable[[pa.Table], pa.Table]") -> Cost:
    """Measure one crossing.

    Args:
        crossing: The rows.
        rounds: The number of timings.
        store: Passes a table to another process. It is not called if both steps run in the same process.
    """
    packed = 0
    samples: list[list[float]] = []
    for _ in range(rounds + 1):
        *seconds, packed = _cross(crossing, store)
        samples.append(seconds)
    medians = [median(part) for part in zip(*samples[1:], strict=True)]  # the first round is a warm-up
    photos = len(crossing.rows)
    parts = {name: 1000 * seconds / photos for name, seconds in zip(PARTS, medians, strict=True)}
    return Cost(crossing.name, parts, packed // photos)


def _cross(crossing: "Crossing", store: "Callable[[pa.Table], pa.Table]") -> Iterator[Any]:
    """Yield the CPU seconds of each part of a crossing, and then the size of the packed table."""
    from pipeline.execution.batches import pack, unpack

    table, seconds = _timed(crossing.to_table, crossing.rows)
    yield seconds
    batch, seconds = _timed(pack, table)
    yield seconds
    received, seconds = _timed(store, batch) if crossing.between_processes else (batch, 0.0)
    yield seconds
    unpacked, seconds = _timed(unpack, received)
    yield seconds
    yield _timed(crossing.to_rows, unpacked)[1] if crossing.read_as_rows else 0.0
    yield batch.nbytes


def _timed(function: Callable[[Any], Any], argument: object) -> tuple[Any, float]:
    """Return the result of a function, and the CPU seconds of this process."""
    begin = time.process_time()
    result = function(argument)
    return result, time.process_time() - begin


def measure_copy(size: int, rounds: int) -> float:
    """Return the median CPU milliseconds of a copy of `size` bytes to new memory."""
    import numpy as np

    content = np.ones(size, np.uint8)
    samples = [_timed(lambda array: array.copy(), content)[1] for _ in range(rounds + 1)]
    return 1000 * median(samples[1:])


def _table(costs: Sequence[Cost], title: str) -> "Table":
    from rich.table import Column, Table

    numbers = [Column(name, justify="right", no_wrap=True) for name in (*PARTS, "sum", "KB")]
    table = Table(Column("crossing", no_wrap=True), *numbers, title=title)
    for cost in costs:
        parts = [f"{cost.parts[name]:.2f}" for name in PARTS]
        table.add_row(cost.name, *parts, f"{cost.milliseconds:.2f}", f"{cost.bytes / 1000:,.0f}")
    table.add_row("all", *([""] * len(PARTS)), f"{sum(cost.milliseconds for cost in costs):.2f}", "")
    return table
