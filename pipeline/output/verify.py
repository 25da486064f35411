"""Verify that an output matches its plans and records, and repair it.

An output has no problem if:

- every planned row is in one unit, and recorded exactly once in the record of that unit,
- the records contain no other rows,
- the image files are exactly those that the records name, with the recorded digests.

A superseded row, whose photo and variant have a later key, need not be recorded.
"""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipeline import storage
from pipeline.errors import DamagedOutputError, NotAnOutputError, StorageNotFoundError
from pipeline.output import plan_store, provenance, run_file
from pipeline.storage.database import open_database
from schemas.arrow import Int32, columns_of, to_rows
from schemas.provenance import ControlRecord

READERS = 16  # threads; reading a file mostly waits for the network
FOLDERS = ("images", "maps", "masks")


@dataclass(frozen=True)
class _PlannedRow:
    """The columns of a plan that are verified."""

    unit: str
    key: str
    photo_id: str
    variant: Int32


@dataclass(frozen=True)
class _RecordedRow:
    """The columns of a record that are verified."""

    unit: str
    key: str
    uri: str | None
    sha256: str | None
    controls: tuple[ControlRecord, ...] | None
    label_mask_uri: str | None
    label_mask_sha256: str | None


@dataclass
class Findings:
    """The problems of an output, as one line of text each, and the files and records that `repair` deletes.

    Attributes:
        rows: The number of planned rows.
        files: The number of image files that the records name.
        missing: Planned rows without a row in a record, and recorded files that do not exist.
        duplicate: Rows that were recorded more than once, or planned in several units.
        orphaned: Records and rows that were not planned, and files that no record names.
        altered: Files whose content differs from their record, and records that cannot be read or are of another unit.
        damaged_units: Planned units whose records `repair` deletes, so that the next run converts them again.
        unplanned_units: Units of records that are in no plan. `repair` keeps these records and the files of the units.
        missing_rows: The number of planned rows that the next run converts even without `repair`.
        orphaned_files: The files that `repair` deletes, relative to the output.
    """

    rows: int = 0
    files: int = 0
    missing: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    damaged_units: set[str] = field(default_factory=set)
    unplanned_units: set[str] = field(default_factory=set)
    missing_rows: int = 0
    orphaned_files: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether no problem was found."""
        return not (self.missing or self.duplicate or self.orphaned or self.altered)


def verify(output: str) -> Findings:
    """Compare the plans, the records and all image files of an output.

    Raises:
        NotAnOutputError: The folder was not written by photo2anime.
        DamagedOutputError: The run file or a plan cannot be read. A record that cannot be read is a finding.
    """
    if run_file.read_run_file(output) is None:
        hint = "Name the folder that convert wrote to."
        raise NotAnOutputError(f"{storage.redact(output)}: {run_file.RUN_FILE} is missing", hint)
    findings = Findings()
    plans = plan_store.read_plans(output)
    with open_database() as database:
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        planned = to_rows(database.table(f"SELECT {', '.join(columns_of(_PlannedRow))} FROM plan"), _PlannedRow)
        superseded = {key for (key,) in database.rows("SELECT key FROM superseded")}
    planned_units = {row.unit for row in planned}
    rows = _read_records(output, planned_units, findings)
    _check_rows(planned, rows, provenance.done_units(output), superseded, findings)
    _check_files(output, _recorded_files(rows), planned_units, findings)
    return findings


def repair(output: str, findings: Findings) -> None:
    """Delete orphaned files, and the records of damaged units so that the next run converts these units again."""
    for name in findings.orphaned_files:
        storage.remove(storage.join(output, name))
    for unit in sorted(findings.damaged_units):
        storage.remove(provenance.record_uri(output, unit))


def _read_records(output: str, planned_units: set[str], findings: Findings) -> list[_RecordedRow]:
    """Read the rows of all records. Records that are damaged or were not planned become findings."""
    rows: list[_RecordedRow] = []
    for unit in sorted(provenance.done_units(output)):
        if unit not in planned_units:
            name = f"{provenance.FOLDER}/{unit}.parquet"
            findings.orphaned.append(f"{name}: not in a plan; --repair keeps it, because its plan may be lost")
            findings.unplanned_units.add(unit)
        try:
            rows += _read_record(output, unit)
        except (DamagedOutputError, StorageNotFoundError) as error:
            findings.altered.append(str(error))
            findings.damaged_units |= {unit} & planned_units
    return rows


def _read_record(output: str, unit: str) -> list[_RecordedRow]:
    """Read the rows of one record. Raises `DamagedOutputError` if a row has no key, or belongs to another unit."""
    rows = to_rows(provenance.read_record(output, unit, list(columns_of(_RecordedRow))), _RecordedRow)
    if any(row.unit != unit or not row.key for row in rows):
        raise DamagedOutputError(f"{provenance.FOLDER}/{unit}.parquet: contains rows of another unit or without a key")
    return rows


def _check_rows(
    planned: list[_PlannedRow],
    rows: list[_RecordedRow],
    recorded_units: set[str],
    superseded: set[str],
    findings: Findings,
) -> None:
    """Check that every planned row has exactly one row in the record of its unit, or none if it is superseded."""
    counts = Counter((row.unit, row.key) for row in rows)
    # Two plans contain the same row if a recipe or a photo was changed and then changed back.
    expected = {(row.unit, row.key): row for row in planned}
    findings.rows = len(expected)
    planned_units = {unit for unit, _ in expected}
    for (unit, key), row in expected.items():
        if not counts[unit, key] and unit not in findings.damaged_units and key not in superseded:
            findings.missing.append(f"{row.photo_id} v{row.variant} (unit {unit}): not in a record")
            findings.missing_rows += unit not in recorded_units
            findings.damaged_units |= {unit} & recorded_units
    for (unit, key), count in counts.items():
        if unit not in planned_units:
            continue  # _read_records reported the record
        if (unit, key) not in expected:
            findings.orphaned.append(f"row {key[:10]} in the record of unit {unit}: not in a plan")
            findings.damaged_units.add(unit)
        elif count > 1:
            findings.duplicate.append(f"row {key[:10]} in the record of unit {unit}: recorded {count} times")
            findings.damaged_units.add(unit)
    for key, count in Counter(key for _, key in expected).items():
        if count > 1:
            findings.duplicate.append(f"row {key[:10]}: planned in {count} units")


def _recorded_files(rows: list[_RecordedRow]) -> dict[str, tuple[str | None, str]]:
    """Collect the image files that records name, as a dictionary from file name to SHA-256 digest and unit."""
    files: dict[str, tuple[str | None, str]] = {}
    for row in rows:
        named = [(row.uri, row.sha256), (row.label_mask_uri, row.label_mask_sha256)]
        named += [(control.uri, control.file_sha256) for control in row.controls or ()]
        files |= {uri: (sha256, row.unit) for uri, sha256 in named if uri}
    return files


def _unit_of(name: str) -> str:
    """Return the unit of a file in one of `FOLDERS`, such as `images/<unit>/<file>`."""
    return name.split("/")[1]


def _check_files(
    output: str, recorded: dict[str, tuple[str | None, str]], planned_units: set[str], findings: Findings
) -> None:
    """Compare the names and the content of the files in `FOLDERS` with the records."""
    existing = {f"{folder}/{name}" for folder in FOLDERS for name in storage.files(storage.join(output, folder))}
    findings.files = len(recorded)
    for name in sorted(existing - recorded.keys()):
        if _unit_of(name) in findings.unplanned_units:
            continue
        findings.orphaned.append(f"{name}: not in a record")
        findings.orphaned_files.append(name)
    for name in sorted(recorded.keys() - existing):
        findings.missing.append(f"{name}: the file does not exist")
        findings.damaged_units |= {recorded[name][1]} & planned_units

    def digest(name: str) -> str | None:
        content = storage.read_if_exists(storage.join(output, name))  # None for a broken symbolic link
        return None if content is None else hashlib.sha256(content).hexdigest()

    names = sorted(recorded.keys() & existing)
    with ThreadPoolExecutor(READERS) as readers:
        for name, sha256 in zip(names, readers.map(digest, names), strict=True):
            if sha256 != recorded[name][0]:
                findings.altered.append(f"{name}: the content differs from its record")
                findings.damaged_units |= {recorded[name][1]} & planned_units
