"""Compare the rows of plans and records: every planned row has one row in the record of its unit."""

from collections.abc import Iterator
from typing import Any

from pipeline.output import provenance
from pipeline.output.findings import Findings, Units
from pipeline.storage.database import Database, literals

BATCH = 8192  # rows that are in memory at once

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
_MISMATCHED = f"""
    SELECT unit, key, sum(planned) > 0 AS planned, sum(recorded)::BIGINT AS recorded, bool_or(invalid) AS invalid
    FROM {_ROWS} SEMI JOIN suspicious USING (key) GROUP BY unit, key
"""


def check_rows(units: Units, database: Database, findings: Findings) -> set[str]:
    """Compare the views `plan` and `records`. A superseded row need not be recorded.

    The units of records that cannot be read must be in `findings.damaged_units`, if they are planned.

    Returns:
        The units whose records have invalid rows.
    """
    database.run(f"CREATE OR REPLACE TEMP TABLE suspicious AS {_SUSPICIOUS}")
    if not database.row("SELECT count(*) FROM suspicious")[0]:
        return set()  # the rows need not be read again
    database.run(f"CREATE OR REPLACE TEMP TABLE mismatched AS {_MISMATCHED}")
    invalid = {unit for (unit,) in database.rows("SELECT DISTINCT unit FROM mismatched WHERE invalid ORDER BY unit")}
    for unit in sorted(invalid):
        name = f"{provenance.FOLDER}/{unit}.parquet"
        findings.altered.add(f"{name}: contains rows of another unit or without a key")
    findings.damaged_units |= invalid & units.planned
    # Only the other units are compared row by row.
    database.run(f"DELETE FROM mismatched WHERE list_contains({_list(invalid | findings.damaged_units)}, unit)")
    _find_missing(units, database, findings)
    _find_unplanned(units, database, findings)
    _find_duplicates(database, findings)
    return invalid


def _find_missing(units: Units, database: Database, findings: Findings) -> None:
    keys = "SELECT unit, key FROM mismatched WHERE planned AND recorded = 0 AND key NOT IN (FROM superseded)"
    rows = f"SELECT DISTINCT photo_id, variant, unit, key FROM plan SEMI JOIN ({keys}) USING (unit, key)"
    for photo_id, variant, unit, _ in _stream(rows, database):
        findings.missing.add(f"{photo_id} v{variant} (unit {unit}): not in a record")
        findings.missing_rows += unit not in units.recorded
        findings.damaged_units |= {unit} & units.recorded


def _find_unplanned(units: Units, database: Database, findings: Findings) -> None:
    for unit, key in _stream("SELECT unit, key FROM mismatched WHERE NOT planned", database):
        if unit in units.planned:  # otherwise the record is a finding
            findings.orphaned.add(f"row {key[:10]} in the record of unit {unit}: not in a plan")
            findings.damaged_units.add(unit)


def _find_duplicates(database: Database, findings: Findings) -> None:
    recorded = "SELECT unit, key, recorded FROM mismatched WHERE planned AND recorded > 1"
    for unit, key, count in _stream(recorded, database):
        findings.duplicate.add(f"row {key[:10]} in the record of unit {unit}: recorded {count} times")
        findings.damaged_units.add(unit)
    # Two plans contain the same row in the same unit if a photo or the recipe was changed and then changed back.
    planned = "SELECT key, count(DISTINCT unit) AS units FROM plan SEMI JOIN suspicious USING (key) GROUP BY key"
    for key, count in _stream(f"FROM ({planned}) WHERE units > 1", database):
        findings.duplicate.add(f"row {key[:10]}: planned in {count} units")


def _stream(query: str, database: Database) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, which may be millions."""
    for batch in database.batches(query, BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _list(units: set[str]) -> str:
    return f"{literals(sorted(units))}::VARCHAR[]"
