"""The records of an output: which units are done, and their rows of provenance."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import OutputError
from schemas.provenance import PROVENANCE

FOLDER = "provenance"
READERS = 16  # threads: a record is a wait for the network, not work


def record_uri(output: str, unit: str) -> str:
    """Return where the record of a unit is put."""
    return storage.join(output, FOLDER, f"{unit}.parquet")


def done_units(output: str) -> set[str]:
    """Return the names of the units that have a record."""
    found = storage.names(storage.join(output, FOLDER))
    return {name.removesuffix(".parquet") for name in found if name.endswith(".parquet") and not name.startswith(".")}


def read_record(output: str, unit: str, columns: list[str] | None = None) -> pa.Table:
    """Return the rows of one record. Raises `OutputError` where it cannot be read as one."""
    uri = record_uri(output, unit)
    try:
        table = storage.read_table(uri, columns=columns)
        return table.cast(pa.schema([PROVENANCE.field(name) for name in columns or PROVENANCE.names]))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        message = f"{storage.redact(uri)} is no record ({type(error).__name__}: {error})"
        raise OutputError(message, "See photo2anime verify, and its --repair.") from error


def read_records(output: str, units: Iterable[str], columns: list[str] | None = None) -> pa.Table:
    """Return the rows of the records of `units`, read side by side."""
    names = columns or PROVENANCE.names
    with ThreadPoolExecutor(READERS) as readers:
        tables = list(readers.map(lambda unit: read_record(output, unit, names), sorted(units)))
    return pa.concat_tables([pa.schema([PROVENANCE.field(name) for name in names]).empty_table(), *tables])


def units_to_retry(output: str, units: Iterable[str]) -> set[str]:
    """Return the units that hold a failure which another try may mend."""
    rows = read_records(output, units, ["unit", "failure"])
    retryable = pc.fill_null(pc.struct_field(rows["failure"], "retryable"), fill_value=False)
    return set(rows.filter(retryable)["unit"].to_pylist())
