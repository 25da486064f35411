"""Repair what `pipeline.output.verify` found, so that the next run completes the output."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.output import plan_store, provenance
from pipeline.output.findings import Findings
from pipeline.output.lease import check_lease
from pipeline.output.plan_files import index_units, write_rows
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.output.verify_rows import UNIT_OF_ROW
from pipeline.storage.database import Database, open_database
from schemas.work import PLANNED_UNITS

DELETED = 1000  # files whose names are in memory while they are deleted

_HOMES = f"""
    SELECT key, {UNIT_OF_ROW} AS home FROM {plan_store.VIEW} GROUP BY key HAVING min(hash(unit)) <> max(hash(unit))
"""


def repair(output: str, findings: Findings) -> None:
    """Remove what is damaged, orphaned or recorded twice. No run may use the output at the same time.

    1. Plans that contain a row in several units are written again, with the row in the unit of the first plan only.
    2. Files that no remaining row of a record names are deleted.
    3. Records are written again without the rows that are recorded twice, in another unit, or not planned.
    4. Records of damaged units are deleted, so that the next run converts these units again.

    After an interruption, the next verification finds what is left.

    Raises:
        LeaseLostError: Another process took over the lease of the output.
    """
    if findings.doubled_plans:
        _plan_rows_once(output)
    _remove(output, (storage.join(output, name) for name in findings.orphaned_files))
    rows = (name.rpartition("/") for name in findings.dropped_rows)
    for unit, group in groupby(rows, lambda row: row[0]):
        if unit not in findings.damaged_units:
            _drop_rows(output, unit, [int(position) for *_, position in group])
    _remove(output, (provenance.record_uri(output, unit) for unit in sorted(findings.damaged_units)))


def _remove(output: str, uris: Iterable[str]) -> None:
    """Delete files, `DELETED` at a time, because the names of all may not fit in memory."""
    remaining = iter(uris)
    with ThreadPoolExecutor(provenance.READERS) as removers:
        while together := list(islice(remaining, DELETED)):
            list(removers.map(lambda uri: _remove_file(output, uri), together))


def _remove_file(output: str, uri: str) -> None:
    """Check the lease, then delete a file. Another process that took over the output may need the file."""
    check_lease(output)
    storage.remove(uri)


def _drop_rows(output: str, unit: str, positions: list[int]) -> None:
    """Write a record without the rows at some positions, or delete it if no row is left."""
    rows = provenance.read_record(output, unit)
    kept = rows.take(pa.array(sorted({*range(rows.num_rows)}.difference(positions)), pa.int64()))
    if kept.num_rows:
        provenance.write_record(output, unit, kept)
    else:
        _remove_file(output, provenance.record_uri(output, unit))


def _plan_rows_once(output: str) -> None:
    """Write the plans again in which a row is in another unit than in the first plan that contains the row."""
    plans = plan_store.read_plans(output)
    with open_database() as database:
        plan_store.open_plans(plans, database)
        plan_store.create(f"CREATE TEMP TABLE homes AS {_HOMES}", database)
        changed = f"SELECT DISTINCT plan FROM {plan_store.VIEW} JOIN homes USING (key) WHERE unit <> home"
        with plan_store.damage_reported():
            numbers = {number for (number,) in database.rows(changed)}
            for plan in plans:
                if plan.number in numbers:
                    check_lease(output)
                    plan_store.replace_plan(output, plan, _without_doubled_rows(plan, database))


def _without_doubled_rows(plan: StoredPlan, database: Database) -> NewPlan:
    folder = database.folder / f"plan-{plan.number}"
    folder.mkdir()
    indexes = [_copy_rows(storage.join(plan.uri, name), folder / name, database) for name in plan.files]
    return NewPlan(plan.number, folder, pa.concat_tables([PLANNED_UNITS.empty_table(), *indexes]))


def _copy_rows(uri: str, path: Path, database: Database) -> pa.Table:
    """Copy the rows of a file of a plan whose unit is that of the first plan. Returns the index of the units.

    A file with other changes than new rows names no units.
    """
    rows = f"SELECT *, file_row_number AS position FROM {database.parquet([uri])}"
    joined = f"FROM ({rows}) LEFT JOIN homes USING (key)"
    if plan_store.is_part(path.name):
        write_rows(database, f"{joined} WHERE home IS NULL OR home = unit ORDER BY position", path)
        return index_units(database, path)
    moved = f"SELECT * REPLACE (coalesce(home, unit) AS unit) {joined}"
    write_rows(database, f"SELECT DISTINCT ON (key) * FROM ({moved}) ORDER BY key", path)
    return PLANNED_UNITS.empty_table()
