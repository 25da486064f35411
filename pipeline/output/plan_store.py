"""Read and write the plans of an output: folders in `_plan/` that never change once they are complete.

A plan consists of Parquet files with its rows, sorted by unit, and an index of its units. The index is written last,
so that a plan without an index is incomplete, and ignored.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import storage
from pipeline.errors import DamagedOutputError
from pipeline.storage.database import Database, describe_error, sql_type
from pipeline.storage.transfer import upload
from schemas.work import PLAN, PLANNED_UNITS

FOLDER = "_plan"
INDEX = "units.parquet"
RETURNED = "returned.parquet"  # rows that were planned before, and are current again
VIEW = "plan"


@dataclass(frozen=True)
class StoredPlan:
    """A complete plan of an output.

    Attributes:
        uri: The address of its folder.
        units: The index: a table of `schemas.work.PlannedUnit` rows.
        files: The names of all files with rows.
    """

    uri: str
    units: pa.Table
    files: list[str]


@dataclass(frozen=True)
class NewPlan:
    """A plan in temporary files, to be added to an output.

    Attributes:
        folder: The folder of its files.
        units: The index: a table of `schemas.work.PlannedUnit` rows.
        returned: The number of rows that were planned before, and are current again.
    """

    folder: Path
    units: pa.Table
    returned: int

    @property
    def rows(self) -> int:
        """The number of rows that no earlier plan has."""
        return sum(self.units["rows"].to_pylist())

    def stored(self) -> StoredPlan:
        """Return the plan as it is read from its temporary files."""
        return StoredPlan(str(self.folder), self.units, sorted(path.name for path in self.folder.glob("*.parquet")))


def read_plans(output: str) -> list[StoredPlan]:
    """Read the indexes of all complete plans of an output, the oldest first.

    Raises:
        DamagedOutputError: An index or a file of a plan is missing or damaged.
    """
    files: dict[str, list[str]] = {}
    for path in sorted(storage.files(storage.join(output, FOLDER))):
        plan, _, name = path.partition("/")
        if name.endswith(".parquet") and not name.startswith("."):
            files.setdefault(plan, []).append(name)
    return [
        _read_plan(storage.join(storage.absolute(output), FOLDER, plan), names)
        for plan, names in files.items()
        if INDEX in names
    ]


def write_plan(output: str, plan: NewPlan) -> str:
    """Write a plan to `_plan/`, under a name that sorts after the names of the existing plans. Returns its address."""
    number = len(read_plans(output)) + 1
    digest = hashlib.sha256("".join(plan.units["unit"].to_pylist()).encode()).hexdigest()
    folder = storage.join(output, FOLDER, f"{number:05d}-{digest[:16]}")
    for name in plan.stored().files:
        upload(plan.folder / name, storage.join(folder, name))
    storage.put_table(storage.join(folder, INDEX), plan.units)
    return storage.absolute(folder)


def open_plans(plans: list[StoredPlan], database: Database) -> None:
    """Create the view `plan` of all rows of plans, with the number of their plan, from 0.

    Raises:
        DamagedOutputError: A file of a plan cannot be read.
    """
    columns = ", ".join(f"{field.name}::{sql_type(field.type)} AS {field.name}" for field in PLAN)
    selects = []
    for number, plan in enumerate(plans):
        for returned in (False, True):
            names = [name for name in plan.files if (name == RETURNED) == returned]
            files = database.parquet(storage.join(plan.uri, name) for name in names)
            source = f"SELECT {number} AS plan, {returned} AS returned, {columns} FROM {files}"
            selects += [source] if names else []
    empty = f"SELECT NULL::INTEGER AS plan, false AS returned, {_nulls()} WHERE false"
    create(f"CREATE OR REPLACE VIEW {VIEW} AS {' UNION ALL '.join(selects) or empty}", database)


def find_superseded(plans: list[StoredPlan], database: Database) -> None:
    """Create the table `superseded` of keys that differ from the latest key of their photo and variant.

    The key of a photo and variant changes when the photo or the recipe changes. `open_plans` must be called before.
    """
    # A row of the first plan can only be superseded by a later plan, and later plans are usually much smaller.
    later = f"SELECT photo_id, variant, max_by(key, plan) AS latest FROM {VIEW} WHERE plan > 0 GROUP BY ALL"
    superseded = f"SELECT DISTINCT key FROM {VIEW} JOIN ({later}) USING (photo_id, variant) WHERE key <> latest"
    query = superseded if len(plans) > 1 else "SELECT NULL::VARCHAR AS key WHERE false"
    create(f"CREATE OR REPLACE TEMP TABLE superseded AS {query}", database)


def create(statement: str, database: Database) -> None:
    """Execute a statement that reads files of plans. Raises `DamagedOutputError` if a file cannot be read."""
    with damage_reported():
        database.run(statement)


@contextmanager
def damage_reported() -> Iterator[None]:
    """Raise the errors of queries of plans as `DamagedOutputError`."""
    try:
        yield
    except (duckdb.Error, OSError) as error:  # OSError: of fsspec
        reason = describe_error(error) if isinstance(error, duckdb.Error) else type(error).__name__
        hint = "Restore the file, or choose another output."
        raise DamagedOutputError(f"{FOLDER}: not readable as plans ({reason})", hint) from error


def _read_plan(uri: str, names: list[str]) -> StoredPlan:
    """Read the index of one plan, and check that the files that it names exist."""
    index, hint = storage.join(uri, INDEX), "Restore the file, or choose another output."
    try:
        units = storage.read_table(index, PLANNED_UNITS.names).cast(PLANNED_UNITS)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DamagedOutputError(f"{storage.redact(index)}: not the index of a plan ({error})", hint) from error
    missing = sorted(set(units["part"].to_pylist()) - set(names))
    if missing:
        raise DamagedOutputError(f"{storage.redact(storage.join(uri, missing[0]))}: a file of a plan is missing", hint)
    return StoredPlan(uri, units, [name for name in names if name != INDEX])


def _nulls() -> str:
    return ", ".join(f"NULL::{sql_type(field.type)} AS {field.name}" for field in PLAN)
