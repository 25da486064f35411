"""Rows of all stages with random pixels, and the crossings between the steps of a run, for benchmarks."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.output.run_file import RunMetadata
from pipeline.plan.plan import plan_photos
from pipeline.recipes.load import load_recipe
from pipeline.steps.commit import Commit
from pipeline.steps.row_step import rows_to_table, table_to_rows
from schemas.arrow import to_rows, to_table
from schemas.provenance import RecordRow
from schemas.row_parts import (
    Canvas,
    ControlMap,
    Labels,
    MadeBy,
    ModelColumns,
    PaddingColumns,
    Source,
    Timing,
    TransformColumns,
)
from schemas.work import Converted, Decoded, Encoded, Fetched, Mapped, Planned

DETECTORS = ("canny", "openpose", "depth")  # one control map each
PHOTO_BYTES = 100_000
BYTES_PER_PIXEL = 1.5  # of a PNG file of an image


@dataclass(frozen=True)
class Crossing:
    """The rows that pass from one step to the next.

    Attributes:
        name: The steps before and after.
        rows: The rows of a batch.
        to_table: Converts the rows to a table.
        to_rows: Converts the table back.
        between_processes: Whether the batch passes through Ray's object store.
        read_as_rows: Whether the receiver reads rows. The driver reads the table.
    """

    name: str
    rows: Sequence[Any]
    to_table: Callable[[Sequence[Any]], pa.Table]
    to_rows: Callable[[pa.Table], Sequence[Any]]
    between_processes: bool
    read_as_rows: bool = True


def run_crossings(number: int, size: int) -> list[Crossing]:
    """Return all crossings of a run, with batches of `number` rows of square photos with a side of `size` pixels.

    Ray Data runs load, fetch and decode in one process, and encode and commit in another one.
    """
    planned = to_rows(plan_photos([f"/photos/{index}.jpg" for index in range(number)], load_recipe("demo")), Planned)
    mapped = [mapped_row(row, size) for row in planned]
    decoded = [Decoded(*(getattr(row, name) for name in Decoded.__dataclass_fields__)) for row in mapped]
    fetched = [Fetched(row.planned, row.timing, row.source, bytes(PHOTO_BYTES), (), None, None) for row in mapped]
    converted = [converted_row(row) for row in mapped]
    encoded = [encoded_row(row) for row in converted]
    metadata = RunMetadata("0" * 32, load_recipe("demo"), "1.0", "0" * 40)
    with tempfile.TemporaryDirectory(prefix="p2a-bench-") as output:
        records = to_rows(Commit(output, metadata)(rows_to_table(encoded, Encoded)), RecordRow)
    return [
        _crossing("load and fetch, decode", fetched, Fetched, between_processes=False),
        _crossing("decode, control maps", decoded, Decoded),
        _crossing("control maps, convert", mapped, Mapped),
        _crossing("convert, encode", converted, Converted),
        _crossing("encode, commit", encoded, Encoded, between_processes=False),
        Crossing(
            "commit, driver",
            records,
            partial(to_table, row=RecordRow),
            partial(to_rows, row=RecordRow),
            between_processes=True,
            read_as_rows=False,
        ),
    ]


def _crossing(name: str, rows: Sequence[Any], kind: type, *, between_processes: bool = True) -> Crossing:
    return Crossing(name, rows, partial(rows_to_table, kind=kind), partial(table_to_rows, kind=kind), between_processes)


def mapped_row(row: Planned, size: int) -> Mapped:
    """Return a row with a photo and three control maps of random pixels."""
    pixels = np.random.default_rng(row.seed).integers(0, 256, (size, size, 3), np.uint8)  # [H, W, 3], 0..255
    transform, padding = TransformColumns(1, 1.0, 1.0, 0.0, 0.0, "crop", 1), PaddingColumns(0, 0, 0, 0)
    canvas = Canvas(size, size, None, transform, padding, size, size, Labels(None, None), None)
    maps = tuple(ControlMap(name, "1", "{}", "detected", "cpu", cached=False, pixels=pixels) for name in DETECTORS)
    return Mapped(row, Timing(datetime.now(UTC)), Source("0" * 64, PHOTO_BYTES), canvas, pixels, (), None, maps)


def converted_row(row: Mapped) -> Converted:
    """Return a row with an image, and without the pixels of its control maps."""
    maps = tuple(ControlMap(name, "1", "{}", "detected", "cpu", cached=False) for name in DETECTORS)
    models = tuple(ModelColumns(name, f"organization/{name}", "0" * 40, "0" * 64) for name in ("base", *DETECTORS))
    made_by = MadeBy("cuda", "float16", "DDIMScheduler", "{}", models, "{}")
    return Converted(row.planned, row.timing, row.source, row.canvas, maps, made_by, row.pixels)


def encoded_row(row: Converted) -> Encoded:
    """Return a row with an image file of a usual size."""
    image = bytes(int(BYTES_PER_PIXEL * row.canvas.width * row.canvas.height))
    return Encoded(row.planned, row.timing, row.source, row.canvas, row.maps, row.made_by, image)
