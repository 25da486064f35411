"""Read the provenance records of an output. A unit is done once its record exists."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pipeline import storage
from pipeline.errors import DamagedOutputError
from pipeline.storage.database import Database, identifier, literals, sql_type
from schemas.provenance import PROVENANCE

FOLDER = "provenance"
READERS = 16  # threads; reading a record mostly waits for the network


def record_uri(output: str, unit: str) -> str:
    """Build the address of the record of a unit."""
    return storage.join(output, FOLDER, f"{unit}.parquet")


def done_units(output: str) -> set[str]:
    """List the names of the units that have a record."""
    names = storage.names(storage.join(output, FOLDER))
    return {name.removesuffix(".parquet") for name in names if name.endswith(".parquet") and not name.startswith(".")}


def read_record(output: str, unit: str, columns: list[str] | None = None) -> pa.Table:
    """Read the rows of one record.

    Args:
        output: The address of the output.
        unit: The name of the unit.
        columns: The columns to read, in this order. Defaults to all columns.

    Raises:
        DamagedOutputError: If the file is not a record.
    """
    uri = record_uri(output, unit)
    try:
        table = storage.read_table(uri, columns=columns)
        return table.cast(pa.schema([PROVENANCE.field(name) for name in columns or PROVENANCE.names]))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DamagedOutputError(f"{storage.redact(uri)}: not a provenance record ({reason})") from error


def read_records(output: str, units: Iterable[str], columns: list[str] | None = None) -> pa.Table:
    """Read the records of several units in parallel, and concatenate their rows in the order of the unit names."""
    names = columns or PROVENANCE.names
    with ThreadPoolExecutor(READERS) as readers:
        tables = list(readers.map(lambda unit: read_record(output, unit, names), sorted(units)))
    return pa.concat_tables([pa.schema([PROVENANCE.field(name) for name in names]).empty_table(), *tables])


def done_keys(output: str, unit: str) -> set[str]:
    """Return the keys of the rows of a unit that are done in its record. Empty if the unit has no record."""
    if not storage.exists(record_uri(output, unit)):
        return set()
    table = read_record(output, unit, ["key", "status"])
    return {
        key for key, status in zip(*(column.to_pylist() for column in table.columns), strict=True) if status == "done"
    }


def open_records(output: str, units: Iterable[str], database: Database) -> None:
    """Create the view `records` of the rows of records, which may be more than fit in memory."""
    paths = literals([database.path(record_uri(output, unit)) for unit in sorted(units)])
    columns = ", ".join(f"{identifier(field.name)}" for field in PROVENANCE)
    empty = ", ".join(f"NULL::{sql_type(field.type)} AS {identifier(field.name)}" for field in PROVENANCE)
    source = f"SELECT {columns} FROM read_parquet({paths})" if units else f"SELECT {empty} WHERE false"
    database.run(f"CREATE OR REPLACE VIEW records AS {source}")


def units_to_retry(output: str, units: Iterable[str], database: Database) -> dict[str, int]:
    """Find the units with a retryable failure, which is one that may succeed in another run.

    Returns:
        The number of failed rows of each of these units.
    """
    open_records(output, units, database)
    failures = "SELECT unit, count(*), bool_or(failure.retryable) AS retryable FROM records WHERE failure IS NOT NULL"
    return {unit: int(failed) for unit, failed, retryable in database.rows(f"{failures} GROUP BY unit") if retryable}
