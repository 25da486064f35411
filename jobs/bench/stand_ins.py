"""Steps that replace those of a run in `photo2anime bench flow`: synthetic photos, and a converter that only waits."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from jobs.bench.events import EventFile
from jobs.bench.synthetic_rows import mapped_row
from pipeline.plan.load_unit import load_unit
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.chain import Chain, Step
from pipeline.steps.load import BATCH_ROWS
from pipeline.steps.row_step import rows_to_table
from schemas.provenance import PROVENANCE
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

    def rows(self, unit: Unit) -> list[Planned]:
        """Return the rows of a unit."""
        return load_unit(unit, self.renderer)

    def batches(self, unit: Unit) -> Iterator[pa.Table]:
        """Yield tables of `Mapped` rows."""
        rows = [mapped_row(row, self.size) for row in self.rows(unit)]
        for start in range(0, len(rows), BATCH_ROWS):
            yield rows_to_table(rows[start : start + BATCH_ROWS], Mapped)


class UnchangedTable:
    """Returns its table unchanged."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table."""
        return table


class WaitingConverter:
    """Waits as long as a GPU works, drops the pixels of the maps, and writes the begin and end of each call to a file.

    Args:
        calls: The folder of the files, one for each process.
        seconds: The time to wait for each photo.
    """

    def __init__(self, calls: str, seconds: float) -> None:
        self._calls, self._seconds = EventFile(calls, "convert"), seconds

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the rows without their control maps, which later steps do not need."""
        begin = time.time()
        time.sleep(self._seconds * table.num_rows)
        maps = pa.nulls(table.num_rows, table.schema.field("maps").type)
        result = table.set_column(table.schema.get_field_index("maps"), table.schema.field("maps"), maps)
        self._calls.write("call", begin)
        return result


class RecordColumns:
    """Returns a row of provenance for each row, and writes no file.

    Attributes:
        output: The address of the output.
    """

    def __init__(self, output: str) -> None:
        self.output = output

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return a table of `RecordRow` rows, whose columns are null except those of the plan, status and failure."""
        planned = table["planned"].combine_chunks()
        columns = {field.name: pa.nulls(table.num_rows, field.type) for field in PROVENANCE}
        for name in ("photo_id", "variant", "unit", "key", "seed", "recipe_digest", "prompt", "manifest"):
            columns[name] = pc.struct_field(planned, name)
        columns["failure"] = table["failure"]
        columns["status"] = pc.if_else(pc.is_null(table["failure"]), "done", "failed")
        return pa.table(columns, schema=PROVENANCE)

    def record_failures(self, rows: Sequence[Failed]) -> pa.Table:
        """Return a table of `RecordRow` rows for failed rows."""
        return self(rows_to_table(rows, Mapped))


def stand_in_chain(load: SyntheticPhotos, calls: Path, seconds: float) -> Chain:
    """Return a chain with as many steps as that of a run, whose steps pass on their tables without reading the rows.

    Args:
        load: Makes the photos.
        calls: The folder in which the converter writes its calls.
        seconds: The time that the converter waits for each photo.
    """
    steps = [
        Step("decode", "load", UnchangedTable()),
        Step("control maps", "control_maps", UnchangedTable, {}),
        Step("convert", "gpu", WaitingConverter, {"calls": str(calls), "seconds": seconds}),
        Step("encode", "light", UnchangedTable()),
    ]
    return Chain(load, steps, RecordColumns(load.output))
