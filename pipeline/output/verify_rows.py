"""Compare the rows of plans and records: every planned row has one row in the record of its unit."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.output import provenance
from pipeline.output.findings import Findings, Units
from pipeline.storage.database import Database, literals

BATCH = 8192  # rows that are in memory at once
DROPPED = "dropped"  # the table of the rows of records that `repair` removes, by `unit` and `position`

# The unit of each row: that of the first plan that contains the row.
UNIT_OF_ROW = "min({plan: plan, unit: unit}).unit"

# All rows with their unit. A row of a record is invalid if it has no key, or belongs to another unit than its file.
_ROWS = """(
    SELECT key, unit, 1 AS planned, 0 AS recorded, false AS invalid FROM plan
    UNION ALL
    SELECT coalesce(key, ''), file_unit, 0, 1, unit IS DISTINCT FROM file_unit OR coalesce(key, '') = '' FROM records
)"""
# The keys of rows that are not in one unit of the plan and once in one record. The hash of a unit takes less memory.
_SUSPICIOUS = f"""
    SELECT key FROM {_ROWS} GROUP BY key
    HAVING sum(recorded) <> 1 OR sum(planned) = 0 OR min(hash(unit)) <> max(hash(unit)) OR bool_or(invalid)
"""
_HOMES = f"""
    SELECT key, {UNIT_OF_ROW} AS unit, count(DISTINCT unit) AS units FROM plan SEMI JOIN suspicious USING (key)
    GROUP BY key
"""
_MISMATCHED = f"""
    SELECT rows.unit AS unit, key, bool_or(rows.unit = home.unit) AS planned, sum(recorded)::BIGINT AS recorded,
        bool_or(invalid) AS invalid
    FROM {_ROWS} rows SEMI JOIN suspicious USING (key) LEFT JOIN home USING (key) GROUP BY rows.unit, key
"""
# Of each key, one recorded row is kept. A row without a planned unit may belong to a lost plan, but only in a record of
# a unit that is in no plan.
_KEPT = "CASE WHEN home.unit IS NULL THEN planned.unit IS NULL ELSE home.unit = file_unit END"
_CHOICE = f"PARTITION BY key ORDER BY NOT ({_KEPT}), status <> 'done', started DESC NULLS LAST, file_unit, position"


def check_rows(units: Units, database: Database, findings: Findings) -> set[str]:
    """Compare the views `plan` and `records`. A superseded row need not be recorded.

    The units of records that cannot be read must be in `findings.damaged_units`, if they are planned. Creates the table
    `dropped` if there are `findings.dropped_rows`.

    Returns:
        The units whose records have invalid rows.
    """
    database.run(f"CREATE OR REPLACE TEMP TABLE suspicious AS {_SUSPICIOUS}")
    if not database.row("SELECT count(*) FROM suspicious")[0]:
        return set()  # the rows need not be read again
    database.run(f"CREATE OR REPLACE TEMP TABLE home AS {_HOMES}")
    database.run(f"CREATE OR REPLACE TEMP TABLE mismatched AS {_MISMATCHED}")
    invalid = {unit for (unit,) in database.rows("SELECT DISTINCT unit FROM mismatched WHERE invalid ORDER BY unit")}
    for unit in sorted(invalid):
        name = f"{provenance.FOLDER}/{unit}.parquet"
        findings.altered.add(f"{name}: contains rows of another unit or without a key")
    findings.damaged_units |= invalid & units.planned
    # Only the other units are compared row by row.
    database.run(f"DELETE FROM mismatched WHERE list_contains({_list(invalid | findings.damaged_units)}, unit)")
    _find_missing(units, database, findings)
    _find_dropped(units, invalid, database, findings)
    _find_doubled_plans(database, findings)
    return invalid


def _find_missing(units: Units, database: Database, findings: Findings) -> None:
    keys = "SELECT unit, key FROM mismatched WHERE planned AND recorded = 0 AND key NOT IN (FROM superseded)"
    rows = f"SELECT DISTINCT photo_id, variant, unit, key FROM plan SEMI JOIN ({keys}) USING (unit, key)"
    for photo_id, variant, unit, _ in _stream(rows, database):
        findings.missing.add(f"{photo_id} v{variant} (unit {unit}): not in a record")
        findings.missing_rows += unit not in units.recorded
        findings.damaged_units |= {unit} & units.recorded


def _find_dropped(units: Units, invalid: set[str], database: Database, findings: Findings) -> None:
    """Find the rows of records that are recorded more than once, in another unit, or not planned."""
    planned = pa.table({"unit": pa.array(sorted(units.planned), pa.string())})
    database.connection.register("planned_units", planned)
    chosen = (
        f"SELECT file_unit AS unit, position, key, home.unit AS home, {_KEPT} AS kept,"
        f" row_number() OVER ({_CHOICE}) AS choice"
        " FROM records SEMI JOIN suspicious USING (key) LEFT JOIN home USING (key)"
        " LEFT JOIN planned_units planned ON planned.unit = file_unit"
        f" WHERE NOT list_contains({_list(invalid)}, file_unit)"
    )
    query = f"SELECT unit, position, key, home FROM ({chosen}) WHERE NOT kept OR choice > 1"
    database.run(f"CREATE OR REPLACE TEMP TABLE {DROPPED} AS {query}")
    database.connection.unregister("planned_units")
    for unit, position, key, home in _stream(f"FROM {DROPPED} ORDER BY unit, position", database):
        findings.dropped_rows.add(f"{unit}/{position}")
        name = f"row {key[:10]} in the record of unit {unit}"
        if home is None and unit in units.planned:
            findings.orphaned.add(f"{name}: not in a plan")
        else:
            reason = "recorded more than once" if home in {None, unit} else f"planned in unit {home}"
            findings.duplicate.add(f"{name}: {reason}")


def _find_doubled_plans(database: Database, findings: Findings) -> None:
    # Two plans contain the same row in the same unit if a photo or the recipe was changed and then changed back.
    for key, count in _stream("SELECT key, units FROM home WHERE units > 1", database):
        findings.duplicate.add(f"row {key[:10]}: planned in {count} units")
        findings.doubled_plans = True


def _stream(query: str, database: Database) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, which may be millions."""
    for batch in database.batches(query, BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _list(units: set[str]) -> str:
    return f"{literals(sorted(units))}::VARCHAR[]"
