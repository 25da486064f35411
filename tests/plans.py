"""Write plans and records of outputs from rows, for tests that do not plan a manifest."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.output import plan_store
from pipeline.output.plan_store import NewPlan
from pipeline.output.record_writer import RecordWriter
from pipeline.output.run_file import RunMetadata
from pipeline.steps.commit import Commit
from pipeline.steps.row_step import rows_to_table
from schemas.arrow import to_table
from schemas.work import PLAN, PLANNED_UNITS, Encoded, Failed, Planned
from tests.rows import edit

PART = "part-00000.parquet"


def write_plan(output: str | Path, rows: Sequence[Planned], size: int) -> list[str]:
    """Add a plan to an output, with units of up to `size` rows. Returns the unit of each row."""
    sizes = [min(size, len(rows) - start) for start in range(0, len(rows), size)]
    names = [_unit_name(rows[number * size : number * size + count]) for number, count in enumerate(sizes)]
    units = [name for name, count in zip(names, sizes, strict=True) for _ in range(count)]
    table = to_table(rows, Planned).select(PLAN.names)
    table = table.set_column(0, PLAN.field(0), pa.array(units, pa.string()))
    index = [
        {"unit": name, "part": PART, "start": number * size, "rows": count, "recipe_digest": rows[0].recipe_digest}
        for number, (name, count) in enumerate(zip(names, sizes, strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        storage.put_table(f"{folder}/{PART}", table.cast(PLAN))
        number = len(plan_store.read_plans(str(output))) + 1
        plan_store.write_plan(str(output), NewPlan(number, Path(folder), pa.Table.from_pylist(index, PLANNED_UNITS)))
    return units


def _unit_name(rows: Sequence[Planned]) -> str:
    return hashlib.sha256("".join(sorted(row.key for row in rows)).encode()).hexdigest()[:16]


def write_records(output: str | Path, run: RunMetadata, rows: Sequence[Encoded | Failed], size: int) -> list[str]:
    """Add a plan to an output, and write the images and the records of its units. Returns the unit of each row."""
    units = write_plan(output, [row.planned for row in rows], size)
    finished = [edit(row, planned={"unit": unit}) for row, unit in zip(rows, units, strict=True)]
    committed = Commit(str(output), run, keep_maps=True)(rows_to_table(finished, Encoded))
    RecordWriter(str(output), Counter(units)).add(committed)
    return units
