"""Verify that an output matches its plans and records.

An output has no problem if:

- every planned row is in one unit, and recorded exactly once in the record of that unit,
- the records contain no other rows,
- the image files are exactly those that the records name, with the recorded digests,
- no byte of a record, of a plan or of a recipe was changed.

A superseded row, whose photo and variant have a later key, need not be recorded.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import DamagedOutputError, StorageNotFoundError
from pipeline.output import plan_store, provenance, run_file
from pipeline.output.file_content import ContentCheck, altered_files
from pipeline.output.findings import Findings, Units
from pipeline.output.plan_store import StoredPlan
from pipeline.output.verify_files import FileComparison
from pipeline.output.verify_rows import check_rows
from pipeline.storage.database import Database, open_database

# The memory of the database. With it, a process that finds 4,000,000 missing rows uses 1.15 GB at most.
MEMORY = "1GB"


def verify(output: str, *, sample: float = 1, check_content: ContentCheck = altered_files) -> Findings:
    """Compare the plans, the records and the image files of an output.

    Args:
        output: The address of the output.
        sample: The share of the image files whose content is compared, from 0 to 1. All rows and all names of files
            are compared. The files are chosen by their names, so that every verification chooses the same.
        check_content: Reads the files, and finds those that differ from their record.

    Raises:
        NotAnOutputError: The folder was not written by photo2anime.
        DamagedOutputError: The run file or the index of a plan is damaged. Other damaged files are findings. The rows
            and the image files are not compared with a damaged plan.
    """
    run_file.check_output(output)
    plans, recorded = plan_store.read_plans(output), provenance.done_units(output)
    units = Units(frozenset().union(*(plan.units["unit"].to_pylist() for plan in plans)), frozenset(recorded))
    files = [*plan_store.damaged_files(plans), *run_file.damaged_recipes(output)]

    def start(damaged: dict[str, str]) -> Findings:
        """Return findings with the damaged records, given with their problems, and the other damaged files."""
        findings = _new_findings(plans, units)
        for text in [*damaged.values(), *(f"{name}: the content differs from its digest" for name in files)]:
            findings.altered.add(text)
        findings.damaged_units |= damaged.keys() & units.planned
        return findings

    def compare(damaged: dict[str, str], database: Database) -> Findings:
        """Compare all records but the damaged ones."""
        findings, readable = start(damaged), units.recorded - damaged.keys()
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        provenance.open_records(output, readable, database)
        with provenance.damage_reported():
            invalid = check_rows(units, database, findings)
            provenance.open_records(output, readable - invalid, database)
            FileComparison(output, units, findings, sample).run(database, check_content)
        return findings

    with open_database(MEMORY) as database:
        damaged = provenance.damaged_records(output, units.recorded, database)
        if any(name.startswith(f"{plan_store.FOLDER}/") for name in files):
            return start(damaged)  # a comparison with a damaged plan would find problems in undamaged records
        try:
            return compare(damaged, database)
        except DamagedOutputError:
            # Only now are the records decoded one by one, because this takes much longer than a query of all.
            unreadable = _find_unreadable_records(output, units.recorded - damaged.keys())
            if not unreadable:
                raise
            return compare(damaged | unreadable, database)


def _new_findings(plans: list[StoredPlan], units: Units) -> Findings:
    """Return findings with the number of planned rows, and with the records that were not planned."""
    rows = {unit["unit"]: unit["rows"] for plan in plans for unit in plan.units.to_pylist()}
    findings = Findings(rows=sum(rows.values()), unplanned_units=set(units.recorded - units.planned))
    for unit in sorted(findings.unplanned_units):
        name = f"{provenance.FOLDER}/{unit}.parquet"
        findings.orphaned.add(f"{name}: not in a plan; --repair keeps it, because its plan may be lost")
    return findings


def _find_unreadable_records(output: str, units: Iterable[str]) -> dict[str, str]:
    """Read records one by one. Returns the problems of those that cannot be read, by unit."""

    def problem(unit: str) -> str | None:
        try:
            provenance.read_record(output, unit)
        except (DamagedOutputError, StorageNotFoundError) as error:
            return str(error)
        return None

    ordered = sorted(units)
    with ThreadPoolExecutor(provenance.READERS) as readers:
        problems = zip(ordered, readers.map(problem, ordered), strict=True)
        return {unit: text for unit, text in problems if text is not None}
