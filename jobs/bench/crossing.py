"""photo2anime bench crossing: measure the CPU time of passing rows between two steps as an Arrow table."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.bench.timing import MIN_SAMPLE

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from schemas.row_parts import Pixels
    from schemas.work import Mapped

DETECTORS = ("canny", "openpose", "depth")  # one control map each
GOAL = 2.0  # milliseconds of CPU time per photo from rows to a table and back to rows, for photos of 512x512
COPY, CROSSING, DICTIONARIES, STEP = (
    "memory copy",
    "rows to table to rows",
    "dictionaries and bytes",
    "RowStep, row unchanged",
)


@dataclass(frozen=True)
class Cost:
    """The mean cost of one photo with its control maps."""

    name: str
    milliseconds: float  # of CPU time
    bytes: int  # size of the pixels for the memory copy, and of the Arrow table for the other calls


def crossing(
    size: Annotated[int, typer.Option(min=1, help="The side of the square photos, in pixels.")] = 512,
    rows: Annotated[int, typer.Option(min=1, help="The number of photos in a table.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="The number of timings; the median counts.")] = 9,
) -> None:
    """Measure the CPU time of passing photos with three control maps from one step to the next, without Ray.

    The baselines are a memory copy of the same pixels, and pyarrow's `from_pylist` and `to_pylist` with images as
    `bytes` in dictionaries. The last measurement is a step that reads a table and returns its rows unchanged.
    """
    # Imported here so that the help of the command line starts fast.
    from rich.console import Console

    costs = measure(mapped_rows(rows, size), rounds)
    (measured,) = (cost.milliseconds for cost in costs if cost.name == CROSSING)
    console = Console()
    console.print(_table(costs, f"{rows} photos of {size}x{size} with {len(DETECTORS)} control maps"))
    answer = "yes" if measured <= GOAL else "no"
    console.print(f"Goal for 512x512: {CROSSING} in at most {GOAL:g} ms per photo: {answer}, {measured:.2f} ms")


def measure(rows: "Sequence[Mapped]", rounds: int) -> list[Cost]:
    """Measure, once per round, every way to pass rows to the next step. The first result is the memory copy."""
    import numpy as np

    from pipeline.steps.row_step import RowStep, rows_to_table, table_to_rows
    from schemas.work import Mapped

    images = [image for row in rows for image in images_of(row)]
    copies = [np.empty_like(image) for image in images]
    table, records = rows_to_table(rows, Mapped), [asdict(row) for row in rows]
    step = RowStep("controls", Mapped, Mapped, lambda row: row)
    calls: dict[str, Callable[[], object]] = {
        COPY: lambda: _copy_images(images, copies),
        CROSSING: lambda: table_to_rows(rows_to_table(rows, Mapped), Mapped),
        DICTIONARIES: lambda: table_to_records(records_to_table(records, table.schema)),
        STEP: lambda: step(table),
    }
    sizes = {COPY: sum(image.nbytes for image in images)}
    samples = [[_cpu_seconds(call) for call in calls.values()] for _ in range(rounds + 1)]
    seconds = [median(column) for column in zip(*samples[1:], strict=True)]  # the first round is a warm-up
    return [
        Cost(name, 1000 * duration / len(rows), sizes.get(name, table.nbytes) // len(rows))
        for name, duration in zip(calls, seconds, strict=True)
    ]


def mapped_rows(number: int, size: int) -> "list[Mapped]":
    """Return rows of random square photos and control maps with a side of `size` pixels."""
    from datetime import UTC, datetime

    import numpy as np

    from pipeline.plan.plan import plan_photos
    from pipeline.recipes.load import load_recipe
    from schemas.arrow import to_rows
    from schemas.row_parts import Canvas, ControlMap, Labels, PaddingColumns, Source, Timing, TransformColumns
    from schemas.work import Mapped, Planned

    random, timing, source = np.random.default_rng(0), Timing(datetime.now(UTC)), Source("0" * 64, 100_000)
    transform, padding = TransformColumns(1, 1.0, 1.0, 0.0, 0.0, "crop", 1), PaddingColumns(0, 0, 0, 0)
    canvas = Canvas(size, size, None, transform, padding, size, size, Labels(None, None), None)
    plan = plan_photos([f"/photos/{index}.jpg" for index in range(number)], load_recipe("demo"))
    rows = []
    for planned in to_rows(plan, Planned):
        pixels, *maps = random.integers(0, 256, (1 + len(DETECTORS), size, size, 3), np.uint8)
        control_maps = tuple(
            ControlMap(name, "1", "{}", "detected", "cpu", cached=False, sha256="0" * 64, pixels=image)
            for name, image in zip(DETECTORS, maps, strict=True)
        )
        rows.append(Mapped(planned, timing, source, canvas, pixels, (), None, control_maps))
    return rows


def images_of(row: "Mapped") -> "list[Pixels]":
    """Return the photo and the control maps of a row."""
    maps = (control_map.pixels for control_map in row.maps if control_map is not None)
    return [row.pixels, *(pixels for pixels in maps if pixels is not None)]


def _copy_images(images: "Sequence[Pixels]", copies: "Sequence[Pixels]") -> None:
    import numpy as np

    for image, copy in zip(images, copies, strict=True):
        np.copyto(copy, image)


def records_to_table(records: Sequence[dict[str, Any]], schema: "pa.Schema") -> "pa.Table":
    """Convert dictionaries to a table. Each image is copied to `bytes`, which Arrow copies into the table."""
    import pyarrow as pa

    return pa.Table.from_pylist([_convert_images(record, _to_bytes) for record in records], schema)


def table_to_records(table: "pa.Table") -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries. Arrow copies each image to `bytes`."""
    return [_convert_images(record, _to_pixels) for record in table.to_pylist()]


def _convert_images(record: dict[str, Any], convert: Callable[[Any], object]) -> dict[str, Any]:
    maps = [control_map | {"pixels": convert(control_map["pixels"])} for control_map in record["maps"]]
    return record | {"pixels": convert(record["pixels"]), "maps": maps}


def _to_bytes(image: "Pixels") -> dict[str, Any]:
    return {"height": image.shape[0], "width": image.shape[1], "data": image.tobytes()}


def _to_pixels(image: dict[str, Any]) -> "Pixels":
    import numpy as np

    return np.frombuffer(image["data"], np.uint8).reshape(image["height"], image["width"], 3)


def _cpu_seconds(call: Callable[[], object]) -> float:
    """Return the mean CPU seconds of one call. Repeats the call until `MIN_SAMPLE` CPU seconds have passed."""
    calls, seconds, began = 0, 0.0, time.process_time()
    while seconds < MIN_SAMPLE:
        call()
        calls += 1
        seconds = time.process_time() - began
    return seconds / calls


def _table(costs: Sequence[Cost], title: str) -> "Table":
    from rich.table import Column, Table

    numbers = [
        Column(name, justify="right") for name in ("CPU ms per photo", "ratio to memory copy", "bytes per photo")
    ]
    table = Table(Column("what", no_wrap=True), *numbers, title=title)
    for cost in costs:
        ratio = cost.milliseconds / costs[0].milliseconds
        table.add_row(cost.name, f"{cost.milliseconds:.3f}", f"{ratio:.2f}", f"{cost.bytes:,}")
    return table
