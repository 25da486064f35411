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
    with open_database(MEMORY) as database:
        verification = _Verification(output, sample, check_content, database)
        damaged = provenance.damaged_records(output, verification.units.recorded, database)
        if verification.damaged_plans:
            return verification.new_findings(damaged)  # a comparison would find problems in undamaged records
        try:
            return verification.compare(damaged, database)
        except DamagedOutputError:
            # Only now are the records decoded one by one, because this takes much longer than a query of all.
            unreadable = _find_unreadable_records(output, verification.units.recorded - damaged.keys())
            if not unreadable:
                raise
            return verification.compare(damaged | unreadable, database)


class _Verification:
    """Reads the plans, the recipes and the names of the records of an output, and compares all rows and files.

    Attributes:
        units: The names of the units of the output.
        damaged_plans: The names of damaged files of plans.
    """

    def __init__(self, output: str, sample: float, check_content: ContentCheck, database: Database) -> None:
        self._output = output
        self._sample = sample
        self._check_content = check_content
        self._plans = plan_store.read_plans(output)
        planned = frozenset().union(*(plan.units["unit"].to_pylist() for plan in self._plans))
        self.units = Units(planned, frozenset(provenance.done_units(output)))
        self.damaged_plans = plan_store.damaged_files(self._plans, database)
        self._damaged_recipes = run_file.damaged_recipes(output)

    def compare(self, damaged: dict[str, str], database: Database) -> Findings:
        """Compare all records but the damaged ones, given with their problems."""
        findings, readable = self.new_findings(damaged), self.units.recorded - damaged.keys()
        plan_store.open_plans(self._plans, database)
        plan_store.find_superseded(self._plans, database)
        provenance.open_records(self._output, readable, database)
        with provenance.damage_reported():
            invalid = check_rows(self.units, database, findings)
            provenance.open_records(self._output, readable - invalid, database)
            FileComparison(self._output, self.units, findings, self._sample).run(database, self._check_content)
        return findings

    def new_findings(self, damaged: dict[str, str]) -> Findings:
        """Return findings with the number of planned rows, the damaged files, and the records that were not planned."""
        rows = {unit["unit"]: unit["rows"] for plan in self._plans for unit in plan.units.to_pylist()}
        findings = Findings(rows=sum(rows.values()), unplanned_units=set(self.units.recorded - self.units.planned))
        for unit in sorted(findings.unplanned_units):
            name = f"{provenance.FOLDER}/{unit}.parquet"
            findings.orphaned.add(f"{name}: not in a plan; --repair keeps it, because its plan may be lost")
        for text in damaged.values():
            findings.altered.add(text)
        for name in self.damaged_plans:
            findings.altered.add(f"{name}: the content differs from its digest. {plan_store.HINT}")
        for name in self._damaged_recipes:
            findings.altered.add(f"{name}: the content differs from its digest")
        findings.damaged_units |= damaged.keys() & self.units.planned
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
