"""Steps that replace those of a run in `photo2anime bench flow`: synthetic photos, and a converter that only waits."""

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.bench.crossing import DETECTORS
from pipeline.plan.load_unit import load_unit
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.chain import Chain, Step
from pipeline.steps.commit import Commit
from pipeline.steps.load import BATCH_ROWS
from pipeline.steps.row_step import RowStep, TableStep, rows_to_table
from schemas.row_parts import Canvas, ControlMap, Labels, PaddingColumns, Source, Timing, TransformColumns
from schemas.work import Failed, Mapped, Planned, Unit

GPU_SECONDS = 0.2 / 8  # per photo


@dataclass(frozen=True)
class SyntheticPhotos:
    """Loads the rows of units, with pixels that are made here instead of fetched.

    Attributes:
        output: The address of the output.
        renderer: Renders the prompts.
        size: The side of the square photos and of their control maps, in pixels.
    """

    output: str
    renderer: PromptRenderer
    size: int

    def batches(self, unit: Unit) -> Iterator[pa.Table]:
        """Yield tables of `Mapped` rows."""
        rows = [mapped_row(row, self.size) for row in load_unit(unit, self.renderer)]
        for start in range(0, len(rows), BATCH_ROWS):
            yield rows_to_table(rows[start : start + BATCH_ROWS], Mapped)


def mapped_row(row: Planned, size: int) -> Mapped:
    """Return a row with a photo and three control maps of random pixels."""
    pixels = np.random.default_rng(row.seed).integers(0, 256, (size, size, 3), np.uint8)  # [H, W, 3], 0..255
    transform, padding = TransformColumns(1, 1.0, 1.0, 0.0, 0.0, "crop", 1), PaddingColumns(0, 0, 0, 0)
    canvas = Canvas(size, size, None, transform, padding, size, size, Labels(None, None), None)
    maps = tuple(ControlMap(name, "1", "{}", "detected", "cpu", cached=False, pixels=pixels) for name in DETECTORS)
    return Mapped(row, Timing(datetime.now(UTC)), Source("0" * 64, 100_000), canvas, pixels, (), None, maps)


class UnchangedRows(TableStep[Mapped, Mapped]):
    """Returns its rows unchanged."""

    def __init__(self) -> None:
        super().__init__(Mapped, Mapped)

    def run(self, rows: Sequence[Mapped | Failed]) -> list[Mapped | Failed]:
        """Return the rows."""
        return list(rows)


class WaitingConverter(TableStep[Mapped, Mapped]):
    """Waits as long as a GPU works, drops the pixels of the maps, and writes the begin and end of each call to a file.

    Args:
        spans: The folder of the files, one for each process.
        seconds: The time to wait for each photo.
    """

    def __init__(self, spans: str, seconds: float) -> None:
        super().__init__(Mapped, Mapped)
        self._path, self._seconds = Path(spans) / uuid.uuid4().hex, seconds

    def __call__(self, table: pa.Table) -> pa.Table:
        """Convert the rows of a table."""
        begin = time.time()
        result = super().__call__(table)
        with self._path.open("a") as file:
            file.write(f"{begin} {time.time()}\n")
        return result

    def run(self, rows: Sequence[Mapped | Failed]) -> list[Mapped | Failed]:
        """Return the rows without the pixels of their maps."""
        time.sleep(self._seconds * len(rows))
        return [row if isinstance(row, Failed) else _without_map_pixels(row) for row in rows]


def stand_in_chain(load: SyntheticPhotos, commit: Commit, spans: Path, seconds: float) -> Chain:
    """Return a chain with as many steps as that of a run.

    Args:
        load: Makes the photos.
        commit: Its recipe has mode `maps`. No file is written, because the rows have no map pixels when they arrive.
        spans: The folder in which the converter writes its calls.
        seconds: The time that the converter waits for each photo.
    """
    unchanged = RowStep("decode", Mapped, Mapped, _unchanged)
    steps = [
        Step("decode", "light", unchanged),
        Step("control maps", "control_maps", UnchangedRows, {}),
        Step("convert", "gpu", WaitingConverter, {"spans": str(spans), "seconds": seconds}),
        Step("encode", "light", unchanged),
    ]
    return Chain(load, steps, commit)


def read_spans(spans: Path) -> list[tuple[float, float]]:
    """Read the begin and the end of all calls of the converter, sorted."""
    lines = [line.split() for path in spans.iterdir() for line in path.read_text().splitlines()]
    return sorted((float(begin), float(end)) for begin, end in lines)


def _without_map_pixels(row: Mapped) -> Mapped:
    return replace(row, maps=tuple(each and replace(each, pixels=None) for each in row.maps))


def _unchanged(row: Mapped) -> Mapped:
    return row
