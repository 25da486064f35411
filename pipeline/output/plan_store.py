"""Read and write the plans of an output, which never change once they are complete.

A plan consists of Parquet files with its rows, sorted by unit, and an index of its units. The files are in a folder of
`_plan/` that is named after the number of the plan and their content. The index is written last, so that files without
an index are ignored. Its name is the number of the plan, and it is never replaced: of two runs that plan the same rows
at once, one has to plan again. The index is sealed, and contains the digests of the files.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import storage
from pipeline.errors import DamagedOutputError, PlanConflictError
from pipeline.storage.database import Database, describe_error, sql_type
from pipeline.storage.transfer import file_digest, upload
from schemas.work import PLAN, PLANNED_UNITS

FOLDER = "_plan"
RETURNED = "returned.parquet"  # rows that were planned before, and are current again
REMOVED = "removed.parquet"  # rows of photos that the manifest no longer has, which are no longer current
VIEW = "plan"
_INDEX = re.compile(r"(\d{5,})\.parquet")
_CHANGES = {RETURNED: "returned", REMOVED: "removed"}
_FOLDER_DIGITS = 16  # hexadecimal digits of the digest in the name of a folder
HINT = f"Restore the file, or delete the folder {FOLDER}: convert plans the rows of the records again."


@dataclass(frozen=True)
class StoredPlan:
    """A complete plan of an output.

    Attributes:
        number: The number of the plan, from 1 on.
        uri: The address of the folder of its files.
        units: The index: a table of `schemas.work.PlannedUnit` rows.
        files: The names of all files with rows, and their SHA-256, which is None for temporary files.
    """

    number: int
    uri: str
    units: pa.Table
    files: dict[str, str | None]


@dataclass(frozen=True)
class NewPlan:
    """A plan in temporary files, to be added to an output.

    Attributes:
        number: The number of the plan: one more than that of the last plan that was read before.
        folder: The folder of its files.
        units: The index: a table of `schemas.work.PlannedUnit` rows.
    """

    number: int
    folder: Path
    units: pa.Table

    @property
    def rows(self) -> int:
        """The number of rows that no earlier plan has."""
        return sum(self.units["rows"].to_pylist())

    def stored(self) -> StoredPlan:
        """Return the plan as it is read from its temporary files."""
        names = sorted(path.name for path in self.folder.glob("*.parquet"))
        return StoredPlan(self.number, str(self.folder), self.units, dict.fromkeys(names))


def read_plans(output: str) -> list[StoredPlan]:
    """Read the indexes of all complete plans of an output, the oldest first.

    Raises:
        DamagedOutputError: An index or a file of a plan is missing or damaged.
    """
    paths = set(storage.files(storage.join(output, FOLDER)))
    numbers = sorted(int(match[1]) for match in map(_INDEX.fullmatch, paths) if match)
    return [_read_plan(output, number, paths) for number in numbers]


def write_plan(output: str, plan: NewPlan) -> str:
    """Write a plan to `_plan/`. Returns the address of the folder of its files.

    Raises:
        PlanConflictError: Another run wrote a plan of this number meanwhile, which has other rows or other units.
    """
    folder, index = _upload(output, plan)
    uri = storage.join(storage.absolute(output), FOLDER, folder)
    if not storage.put_new(_index_uri(output, plan.number), index):
        paths = set(storage.files(storage.join(output, FOLDER)))
        if _read_plan(output, plan.number, paths).uri != uri:
            # No other plan of this number can be written, so that no run needs the files.
            _remove_files(uri, plan.stored().files)
            raise PlanConflictError(f"{storage.redact(output)}: another run planned other units at the same time")
    return uri


def replace_plan(output: str, old: StoredPlan, plan: NewPlan) -> None:
    """Write a plan in the place of an earlier plan of its number. No run may use the output at the same time."""
    folder, index = _upload(output, plan)
    storage.put(_index_uri(output, plan.number), index)
    if old.uri.rpartition("/")[2] != folder:
        _remove_files(old.uri, old.files)


def _upload(output: str, plan: NewPlan) -> tuple[str, bytes]:
    """Write the files of a plan. Returns the name of their folder, and the content of the index."""
    files = {name: file_digest(str(plan.folder / name)) for name in plan.stored().files}
    folder = f"{plan.number:05d}-{_folder_digest(files)}"
    for name in files:
        upload(plan.folder / name, storage.join(output, FOLDER, folder, name))
    metadata = {"folder": folder, "files": json.dumps(files)}
    return folder, storage.sealed_content(plan.units.replace_schema_metadata(metadata))


def _remove_files(folder: str, names: Iterable[str]) -> None:
    for name in names:
        storage.remove(storage.join(folder, name))


def part_name(number: int) -> str:
    """Return the name of a file with new rows."""
    return f"part-{number:05d}.parquet"


def is_part(name: str) -> bool:
    """Return whether a file of a plan has new rows."""
    return name not in _CHANGES


def _index_uri(output: str, number: int) -> str:
    return storage.join(output, FOLDER, f"{number:05d}.parquet")


def _folder_digest(files: dict[str, str]) -> str:
    """Return a digest of the names of files and of the digests of their content."""
    text = "".join(f"{name} {digest}\n" for name, digest in files.items())
    return hashlib.sha256(text.encode()).hexdigest()[:_FOLDER_DIGITS]


def damaged_files(plans: list[StoredPlan], database: Database) -> list[str]:
    """Read all files of plans. Returns the names of those whose content differs from their index."""
    return [
        f"{FOLDER}/{plan.uri.rpartition('/')[2]}/{name}"
        for plan in plans
        for name, digest in plan.files.items()
        if file_digest(database.path(storage.join(plan.uri, name))) != digest
    ]


def check_files(plans: list[StoredPlan], database: Database) -> None:
    """Check the content of the files of plans, because a damaged value may select another photo or other settings.

    Raises:
        DamagedOutputError: The content of a file differs from its index.
    """
    for name in damaged_files(plans, database):
        raise DamagedOutputError(f"{name}: the content differs from its digest", HINT)


def open_plans(plans: list[StoredPlan], database: Database) -> None:
    """Create the view `plan` of all rows of plans, with the number of their plan, and their change.

    The change is `new`, `returned` for a row that was planned before and is current again, or `removed` for a row that
    was planned before, and whose photo the manifest no longer has.

    Raises:
        DamagedOutputError: A file of a plan cannot be read.
    """
    columns = ", ".join(f"{field.name}::{sql_type(field.type)} AS {field.name}" for field in PLAN)
    selects = []
    for plan in plans:
        changes: dict[str, list[str]] = {}
        for name in plan.files:
            changes.setdefault(_CHANGES.get(name, "new"), []).append(storage.join(plan.uri, name))
        for change, uris in changes.items():
            files = database.parquet(uris)
            selects.append(f"SELECT {plan.number} AS plan, '{change}' AS change, {columns} FROM {files}")
    empty = f"SELECT NULL::INTEGER AS plan, NULL::VARCHAR AS change, {_nulls()} WHERE false"
    create(f"CREATE OR REPLACE VIEW {VIEW} AS {' UNION ALL '.join(selects) or empty}", database)


def find_superseded(plans: list[StoredPlan], database: Database) -> None:
    """Create the table `superseded` of keys that differ from the latest key of their photo and variant.

    The key of a photo and variant changes when the photo or the recipe changes. A removed row has no latest key.
    `open_plans` must be called before.
    """
    # A new row of the first plan can only be superseded by a later change, and later plans are usually much smaller.
    first = min((plan.number for plan in plans), default=0)
    key = "CASE WHEN change = 'removed' THEN '' ELSE key END"
    order = "2 * plan + (change <> 'new')::INTEGER"  # a returned row of a recovered plan is later than its new rows
    changes = f"FROM {VIEW} WHERE plan > {first} OR change <> 'new'"
    later = f"SELECT photo_id, variant, max_by({key}, {order}) AS latest {changes} GROUP BY ALL"
    superseded = f"SELECT DISTINCT key FROM {VIEW} JOIN ({later}) USING (photo_id, variant) WHERE key <> latest"
    query = superseded if may_supersede(plans) else "SELECT NULL::VARCHAR AS key WHERE false"
    create(f"CREATE OR REPLACE TEMP TABLE superseded AS {query}", database)


def may_supersede(plans: list[StoredPlan]) -> bool:
    """Return whether a row of plans may be superseded, so that keys must be compared."""
    return len(plans) > 1 or any(not is_part(name) for plan in plans for name in plan.files)


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
        raise DamagedOutputError(f"{FOLDER}: not readable as plans ({reason})", HINT) from error


def _read_plan(output: str, number: int, paths: set[str]) -> StoredPlan:
    """Read the index of one plan, and check that the files that it names are among the existing ones."""
    index = _index_uri(output, number)
    try:
        table = storage.read_sealed(index, PLANNED_UNITS.names)
        metadata = table.schema.metadata
        folder, files = metadata[b"folder"].decode(), json.loads(metadata[b"files"])
        units = table.cast(PLANNED_UNITS)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise DamagedOutputError(f"{storage.redact(index)}: not the index of a plan ({error})", HINT) from error
    for name in files:
        if f"{folder}/{name}" not in paths:
            uri = storage.redact(storage.join(output, FOLDER, folder, name))
            raise DamagedOutputError(f"{uri}: a file of a plan is missing", HINT)
    return StoredPlan(number, storage.join(storage.absolute(output), FOLDER, folder), units, files)


def _nulls() -> str:
    return ", ".join(f"NULL::{sql_type(field.type)} AS {field.name}" for field in PLAN)
