"""Query the current rows of an output: the rows of its records that no later plan superseded.

The records of millions of rows are read in one pass that keeps only counts and the first rows.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.output import plan_store, provenance
from pipeline.storage.database import Database, open_database
from schemas.arrow import to_rows
from schemas.provenance import PROVENANCE, RecordRow
from schemas.row_parts import STAGES

VIEW = "current_rows"


@dataclass(frozen=True, order=True)
class RowPosition:
    """The position of a row in the records. Positions are sorted by photo and variant."""

    photo_id: str
    variant: int
    unit: str  # the name of the record
    position: int  # in the record, from 0


@dataclass
class RowCounts:
    """The counts of the current rows of an output.

    Attributes:
        done: The number of done rows.
        failed: The number of failed rows.
        errors: The number of failed rows by the stage and the code of their errors.
        seconds: The mean time of a done row in each stage, in seconds. Stages without measurements are omitted.
        first_done: The first done rows.
        first_failed: The first failed rows.
    """

    done: int = 0
    failed: int = 0
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    first_done: list[RowPosition] = field(default_factory=list)
    first_failed: list[RowPosition] = field(default_factory=list)


def count_rows(output: str, first: int) -> RowCounts:
    """Count the current rows of an output, and find the first done rows and the first failed rows.

    Args:
        output: The address of the output.
        first: The number of rows to find of each kind.

    Raises:
        DamagedOutputError: A plan or a record cannot be read.
    """
    means = ", ".join(f"avg(seconds.{stage})" for stage in STAGES)
    # `min_by` keeps the first rows during the pass, so that the records are opened once and never sorted.
    row = "{photo_id: photo_id, variant: variant, unit: file_unit, position: position}"
    first_rows = f"min_by({row}, {{photo_id: photo_id, variant: variant}}, {first})"
    groups = f"SELECT status, failure.stage, failure.code, count(*), {first_rows}, {means} FROM {VIEW} GROUP BY ALL"
    counts = RowCounts()
    with _open_current_rows(output) as database, provenance.damage_reported():
        for status, stage, code, rows, positions, *seconds in database.rows(groups):
            found = [RowPosition(**position) for position in positions]
            if status == "done":
                counts.done, counts.first_done = rows, found
                counts.seconds = {name: mean for name, mean in zip(STAGES, seconds, strict=True) if mean is not None}
            else:
                counts.failed += rows
                counts.errors[stage, code] = rows
                counts.first_failed = sorted([*counts.first_failed, *found])[:first]
    return counts


def read_rows(output: str, positions: list[RowPosition], columns: list[str]) -> list[dict[str, Any]]:
    """Read columns of rows, in the order of their positions."""
    with ThreadPoolExecutor(provenance.READERS) as readers:
        units = sorted({each.unit for each in positions})
        records = readers.map(lambda unit: provenance.read_record(output, unit, columns), units)
        by_unit = dict(zip(units, records, strict=True))
    return [row for each in positions for row in by_unit[each.unit].slice(each.position, 1).to_pylist()]


def current_rows(output: str, limit: int) -> list[RecordRow]:
    """Read the first current rows of an output, sorted by photo and variant.

    Raises:
        DamagedOutputError: A plan or a record cannot be read.
    """
    columns = ", ".join(PROVENANCE.names)
    with _open_current_rows(output) as database, provenance.damage_reported():
        table = database.table(f"SELECT {columns} FROM {VIEW} ORDER BY photo_id, variant LIMIT {limit}")
    return to_rows(table.cast(PROVENANCE), RecordRow)


@contextmanager
def _open_current_rows(output: str) -> Iterator[Database]:
    """Open a temporary database with the view `current_rows`."""
    with open_database() as database:
        plans = plan_store.read_plans(output)
        provenance.open_records(output, provenance.done_units(output), database)
        source = "FROM records"
        if plan_store.may_supersede(plans):  # otherwise the keys need not be read
            plan_store.open_plans(plans, database)
            plan_store.find_superseded(plans, database)
            source = "FROM records ANTI JOIN superseded USING (key)"
        database.run(f"CREATE VIEW {VIEW} AS {source}")
        yield database
