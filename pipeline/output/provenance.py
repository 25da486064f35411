"""Read the provenance records of an output. A unit is done once its record exists."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import storage
from pipeline.errors import DamagedOutputError, describe_exception
from pipeline.storage.database import Database, describe_error, identifier, literal, sql_type
from pipeline.storage.temporary import full_disk_reported
from schemas.provenance import PROVENANCE

FOLDER = "provenance"
READERS = 32  # threads; reading a record mostly waits for the network
# The columns whose smallest and largest values are stored in a record, so that queries skip records without matches.
# With those of all hundred columns, and the Arrow schema, a record of 32 rows is twice as large.
SEARCHED = ["status", "photo_id", "key", "uri", "source_uri", "run_id", "started"]


def record_uri(output: str, unit: str) -> str:
    """Build the address of the record of a unit."""
    return storage.join(output, FOLDER, f"{unit}.parquet")


def done_units(output: str) -> set[str]:
    """List the names of the units that have a record."""
    names = storage.names(storage.join(output, FOLDER))
    return {name.removesuffix(".parquet") for name in names if name.endswith(".parquet") and not name.startswith(".")}


def write_record(output: str, unit: str, rows: pa.Table, *, replace: bool = True) -> bool:
    """Write the record of a unit, a table of `schemas.provenance.RecordRow` rows, in one atomic put.

    Returns whether it was written: without `replace`, it is not if the unit has a record.
    """
    content = storage.sealed_content(rows.cast(PROVENANCE), statistics=SEARCHED, store_schema=False)
    if not replace:
        return storage.put_new(record_uri(output, unit), content)
    storage.put(record_uri(output, unit), content)
    return True


def read_record(output: str, unit: str, columns: list[str] | None = None) -> pa.Table:
    """Read the rows of one record.

    Args:
        output: The address of the output.
        unit: The name of the unit.
        columns: The columns to read, in this order. Defaults to all columns.

    Raises:
        DamagedOutputError: If the file is not a record, or was altered.
    """
    uri = record_uri(output, unit)
    try:
        table = storage.read_sealed(uri, columns)
        return table.cast(pa.schema([PROVENANCE.field(name) for name in columns or PROVENANCE.names]))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = describe_exception(error)
        raise DamagedOutputError(f"{storage.redact(uri)}: not a provenance record ({reason})") from error


def open_records(output: str, units: Iterable[str], database: Database) -> list[str]:
    """Create the view `records` of the rows of records, which may be more than fit in memory.

    It has the columns of provenance, and two more: `file_unit` is the name of the record's file without its extension,
    and `position` is the number of the row in the file, from 0.

    Returns:
        The paths of the files that the view reads.

    Raises:
        DamagedOutputError: The first record cannot be read.
        StorageError: A record on remote storage cannot be copied.
        DiskFullError: The copies of records do not fit on the disk.
    """
    paths = _local_records(output, sorted(units), database)
    columns = ", ".join(identifier(name) for name in PROVENANCE.names)
    places = "parse_filename(filename, true) AS file_unit, file_row_number AS position"
    empty = ", ".join(f"NULL::{sql_type(field.type)} AS {identifier(field.name)}" for field in PROVENANCE)
    source = f"SELECT {columns}, {places} FROM {database.parquet(paths)}"
    without_rows = f"SELECT {empty}, NULL::VARCHAR AS file_unit, NULL::BIGINT AS position WHERE false"
    first = f"{FOLDER}/{Path(paths[0]).name}" if paths else FOLDER
    with damage_reported(first):  # DuckDB opens the first record, whose columns it expects of all
        database.run(f"CREATE OR REPLACE VIEW records AS {source if paths else without_rows}")
    return paths


def _local_records(output: str, units: list[str], database: Database) -> list[str]:
    """Return the local paths of records, in order. Records on remote storage are copied to the database's folder.

    DuckDB would send nine requests to S3 for each record, and wait for each of them.
    """
    if storage.local_path(output) is not None:
        return [storage.absolute(record_uri(output, unit)) for unit in units]
    folder = database.folder / FOLDER
    folder.mkdir(exist_ok=True)
    paths = {unit: folder / f"{unit}.parquet" for unit in units}
    missing = [unit for unit, path in paths.items() if not path.exists()]  # verify opens the records twice
    with ThreadPoolExecutor(READERS) as readers, full_disk_reported(folder):
        list(readers.map(lambda unit: paths[unit].write_bytes(storage.read(record_uri(output, unit))), missing))
    return [str(path) for path in paths.values()]


def damaged_records(output: str, units: Iterable[str], database: Database) -> dict[str, str]:
    """Read records completely, and check their seals. Returns the problem of each damaged record by its unit."""
    ordered = sorted(units)
    paths = _local_records(output, ordered, database)
    with ThreadPoolExecutor(READERS) as readers:
        problems = zip(ordered, readers.map(_problem, paths), strict=True)
        return {unit: f"{FOLDER}/{unit}.parquet: {text}" for unit, text in problems if text is not None}


def _problem(path: str) -> str | None:
    try:
        storage.check_seal(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return error.strerror if isinstance(error, OSError) else str(error)
    return None


@contextmanager
def damage_reported(source: str = FOLDER) -> Iterator[None]:
    """Raise the errors of queries of records as `DamagedOutputError`.

    Args:
        source: The file or folder that is read. Most messages of DuckDB name the file too.
    """
    try:
        yield
    except (duckdb.Error, OSError) as error:  # OSError: of fsspec
        reason = describe_error(error) if isinstance(error, duckdb.Error) else describe_exception(error)
        raise DamagedOutputError(f"{source}: not readable as records ({storage.redact_message(reason)})") from error


def units_to_retry(
    output: str, units: Iterable[str], database: Database, code: str | None = None
) -> dict[str, list[str] | None]:
    """Find the units with a retryable failure, which is one that may succeed in another run.

    Args:
        output: The address of the output.
        units: The units that have a record.
        database: A database with the table `superseded`, whose rows are not retried.
        code: The code of the failures. Defaults to all codes.

    Returns:
        The keys of the rows of each of these units that are not done, or None if no row of the unit is done.

    Raises:
        DamagedOutputError: A record cannot be read.
    """
    open_records(output, units, database)
    of_code = f"failure.code = {literal(code)}" if code else "true"
    retryable = f"bool_or(failure.retryable AND {of_code} AND key NOT IN (FROM superseded))"
    keys = "CASE WHEN bool_or(status = 'done') THEN list(DISTINCT key ORDER BY key) FILTER (status <> 'done') END"
    with damage_reported():
        return dict(database.rows(f"SELECT unit, {keys} FROM records GROUP BY unit HAVING {retryable}"))
