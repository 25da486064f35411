"""Read the provenance records of an output. A unit is done once its record exists."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import DamagedOutputError
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


def units_to_retry(output: str, units: Iterable[str]) -> set[str]:
    """Find the units with a retryable failure, which is one that may succeed in another run."""
    rows = read_records(output, units, ["unit", "failure"])
    retryable = pc.fill_null(pc.struct_field(rows["failure"], "retryable"), fill_value=False)
    return set(rows.filter(retryable)["unit"].to_pylist())
