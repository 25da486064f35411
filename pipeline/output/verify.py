"""Whether an output is what its plan says: nothing missing, doubled, orphaned or altered. And how to mend it."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline import storage
from pipeline.errors import OutputError
from pipeline.output import plan_store, provenance, run_file

READERS = 16
FILES = ("images", "maps", "masks")
COLUMNS = [
    "status",
    "photo_id",
    "variant",
    "unit",
    "key",
    "uri",
    "sha256",
    "controls",
    "label_mask_uri",
    "label_mask_sha256",
]


@dataclass
class Findings:
    """What is wrong with an output, one line each, and what `repair` would touch."""

    rows: int = 0
    pictures: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    damaged_units: set[str] = field(default_factory=set)  # their records go, so that a run does them again
    orphaned_files: list[str] = field(default_factory=list)  # relative to the output

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.missing or self.doubled or self.orphaned or self.altered)


def verify(output: str) -> Findings:
    """Read plan, records and every file of an output. Raises `OutputError` where there is no output of ours."""
    if run_file.read_run_file(output) is None:
        message = f"{storage.redact(output)} is no output of this program"
        raise OutputError(message, "Name the folder that convert wrote to.")
    findings = Findings()
    planned = plan_store.read_plans(output).select(["unit", "key", "photo_id", "variant"])
    rows = _read_records(output, set(planned["unit"].to_pylist()), findings)
    _check_rows(planned.to_pylist(), rows, plan_store.superseded_keys(planned), findings)
    _check_files(output, _recorded_files(rows), findings)
    return findings


def repair(output: str, findings: Findings) -> None:
    """Delete what no record names, and the records of damaged units: the next run does those again."""
    for name in findings.orphaned_files:
        storage.remove(storage.join(output, name))
    for unit in sorted(findings.damaged_units):
        storage.remove(provenance.record_uri(output, unit))


def _read_records(output: str, planned: set[str], findings: Findings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for unit in sorted(provenance.done_units(output)):
        name = f"{provenance.FOLDER}/{unit}.parquet"
        if unit not in planned:
            findings.orphaned.append(f"{name}: no plan has this unit; repair leaves it, in case the plan was lost")
        try:
            rows += provenance.read_record(output, unit, COLUMNS).to_pylist()
        except OutputError as fault:
            findings.altered.append(str(fault))
            findings.damaged_units |= {unit} & planned
    return rows


def _check_rows(planned: list[dict[str, Any]], rows: list[dict[str, Any]], old: set[str], findings: Findings) -> None:
    """Compare rows of the plan with rows of the records: each must stand in exactly one, its own unit's."""
    recorded = Counter((row["unit"], row["key"]) for row in rows)
    wanted = {(row["unit"], row["key"]): row for row in planned}  # a row that came back stands in two plans
    findings.rows = len(wanted)
    units = {unit for unit, _ in wanted}
    has_record = {row["unit"] for row in rows}
    for place, row in wanted.items():
        if not recorded[place] and place[0] not in findings.damaged_units and row["key"] not in old:
            findings.missing.append(f"{row['photo_id']} v{row['variant']} (unit {row['unit']}): no row of provenance")
            findings.damaged_units |= {row["unit"]} & has_record
    for (unit, key), count in recorded.items():
        if unit not in units:
            continue  # said already
        if (unit, key) not in wanted:
            findings.orphaned.append(f"row {key[:10]} in the record of unit {unit}: not in the plan")
            findings.damaged_units.add(unit)
        elif count > 1:
            findings.doubled.append(f"row {key[:10]} stands {count} times in the record of unit {unit}")
            findings.damaged_units.add(unit)
    for key, count in Counter(key for _, key in wanted).items():
        if count > 1:
            findings.doubled.append(f"row {key[:10]} is planned {count} times")


def _recorded_files(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return the files that the records name: their digest and unit."""
    found = {row["uri"]: (row["sha256"], row["unit"]) for row in rows if row["uri"]}
    found |= {row["label_mask_uri"]: (row["label_mask_sha256"], row["unit"]) for row in rows if row["label_mask_uri"]}
    for row in rows:
        kept = (control for control in row["controls"] or () if control["uri"])
        found |= {control["uri"]: (control["file_sha256"], row["unit"]) for control in kept}
    return found


def _check_files(output: str, recorded: dict[str, tuple[str, str]], findings: Findings) -> None:
    """Compare the files below `FILES` with the records, their content included."""
    there = {f"{top}/{name}" for top in FILES for name in storage.files(storage.join(output, top))}
    findings.pictures = len(recorded)
    for name in sorted(there - recorded.keys()):
        findings.orphaned.append(f"{name}: no record names it")
        findings.orphaned_files.append(name)
    for name in sorted(recorded.keys() - there):
        findings.missing.append(f"{name}: the file is not there")
        findings.damaged_units.add(recorded[name][1])
    present = sorted(recorded.keys() & there)
    with ThreadPoolExecutor(READERS) as readers:
        digests = readers.map(
            lambda name: hashlib.sha256(storage.read(storage.join(output, name))).hexdigest(), present
        )
        for name, digest in zip(present, digests, strict=True):
            if digest != recorded[name][0]:
                findings.altered.append(f"{name}: its content is not what was recorded")
                findings.damaged_units.add(recorded[name][1])
