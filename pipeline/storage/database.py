"""Run SQL queries with DuckDB on files at any address, with a limit for memory.

DuckDB reads and writes local files itself. Remote files are copied to a temporary folder first. A query that needs more
memory than the limit continues in temporary files.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType
from duckdb.sqltypes import DuckDBPyType
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import DiskFullError, MemoryLimitError
from pipeline.storage.addresses import filesystem, is_web_address, without_query
from pipeline.storage.redaction import redact_message
from pipeline.storage.temporary import temporary_folder
from pipeline.storage.transfer import download

DEFAULT_MEMORY = "2GB"
PREFIX = "p2a-db-"  # prefix of the names of temporary folders
COPIES = "p2a-copies"  # a folder of copies of remote files
_SPILLED = "spilled"
_LONGEST_NAME = 200  # characters of a name in a path, whose bytes in UTF-8 local file systems limit to 255
_SIGNAL_SECONDS = 0.5  # until signals are handled at the latest
_INTERRUPT_SECONDS = 0.1  # until an interruption is repeated, because DuckDB drops one that precedes its statement
_WILDCARD = re.compile(r"[*?\[]")  # of the patterns that DuckDB accepts instead of paths

T = TypeVar("T")

_SQL_TYPES: dict[pa.DataType, str] = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


class Database:
    """A temporary database.

    Attributes:
        connection: The connection to DuckDB. Its session has the time zone UTC.
        folder: A temporary folder, which is removed with the database.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, thread: Executor, option: str | None = None
    ) -> None:
        self.connection = connection
        self.folder = folder
        self._thread = thread
        self._option = option
        self._functions: set[str] = set()

    def _call(self, statement: Callable[[], T]) -> T:
        """Call a function that uses the connection, and interrupt it if a signal handler raises an error.

        The function is called in another thread, because DuckDB runs no signal handlers during a sort, which can take
        minutes. In the main thread it would also replace their errors by a `RuntimeError`.
        """
        result: Future[T] = Future()  # not that of `submit`, which is lost if a signal is received in `submit`
        with self._errors():
            try:
                self._thread.submit(_set_result, result, statement)
                # Python would run the handler of a signal that arrives just before an endless wait after it.
                while not wait([result], _SIGNAL_SECONDS).done:
                    pass
                return result.result()
            finally:
                while not (result.done() or result.cancel()):
                    self.connection.interrupt()
                    wait([result], _INTERRUPT_SECONDS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException) as error:  # readers of Arrow batches raise an ArrowException
            text = str(error).splitlines()[0]
            if "No space left on device" in text:
                raise DiskFullError(f"{self.folder}: no space left for temporary files", "Set TMPDIR.") from error
            if "Out of Memory" in text:
                hint = f"Set a higher {self._option}." if self._option else None
                raise MemoryLimitError(f"database: {text}", hint) from error
            raise

    @property
    def spill_folder(self) -> Path:
        """The folder of the temporary files of queries that need more memory than the limit. DuckDB creates it."""
        return self.folder / _SPILLED

    def run(self, query: str) -> None:
        """Execute a statement that returns no rows.

        Raises:
            MemoryLimitError: The statement needs more memory than the limit, and cannot use temporary files. The other
                methods raise these errors too.
            DiskFullError: The disk of the temporary files is full.
        """
        self._call(lambda: self.connection.execute(query))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Execute a query and return its rows."""
        return self._call(lambda: self.connection.execute(query).fetchall())

    def row(self, query: str) -> tuple[Any, ...]:
        """Execute a query and return its only row."""
        (row,) = self.rows(query)
        return row

    def table(self, query: str) -> pa.Table:
        """Execute a query and return its rows as an Arrow table."""
        return self._call(lambda: self.connection.sql(query).to_arrow_table())

    def columns(self, relation: str) -> list[tuple[str, DuckDBPyType]]:
        """Return the names and the types of the columns of a relation, such as a table function."""
        found = self._call(lambda: self.connection.sql(f"FROM {relation}"))
        return list(zip(found.columns, found.types, strict=True))

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Execute a query and return its rows in Arrow batches of about `rows` rows, which are never all in memory."""
        reader = self._call(lambda: self.connection.sql(query).to_arrow_reader(rows))
        while (batch := self._call(lambda: next(reader, None))) is not None:
            yield batch

    def define_function(self, name: str, function: Callable[[str], str]) -> None:
        """Define a function of texts for queries, unless it is defined already."""
        if name in self._functions:  # the list of functions of DuckDB takes 25 ms to read
            return

        def apply(texts: pa.Array) -> pa.Array:
            return pa.array([None if text is None else function(text) for text in texts.to_pylist()], pa.string())

        self.connection.create_function(name, apply, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
        self._functions.add(name)

    def close(self) -> None:
        """Close the connection, which releases its memory. The files of the folder are kept."""
        self.connection.close()

    def parquet(self, uris: Iterable[str]) -> str:
        """Return the table function, as SQL, that reads the Parquet files at some addresses."""
        # Without the option, a folder such as `seed=5` anywhere in a path would replace the values of the column.
        return f"read_parquet({literals(self.patterns(uris))}, hive_partitioning = false)"

    def patterns(self, uris: Iterable[str]) -> list[str]:
        """Return patterns that match the files at some addresses only, even if their names have wildcards."""
        return [_WILDCARD.sub(r"[\g<0>]", self.path(uri)) for uri in uris]

    def path(self, uri: str) -> str:
        """Return the path at which queries find the file of an address.

        A remote file is copied to the folder of the database once. DuckDB could read it through fsspec, with many
        requests that it does not repeat after an error.

        Raises:
            StorageError: The remote file cannot be read.
            DiskFullError: The copy does not fit on the disk.
        """
        fs, path = filesystem(uri)
        if isinstance(fs, LocalFileSystem):
            return path
        copy = self.folder / COPIES / _name_of_copy(uri)
        if not copy.exists():
            download(uri, copy)
        return str(copy)


def address_prefix(uri: str) -> str:
    """Return the start of the address of a remote file, such as `s3://`, that its copy does not have in its path.

    The path of the copy ends with the folder `COPIES`, the name of the scheme, and the rest of the address.
    """
    fs, path = filesystem(uri)
    name = str(fs.unstrip_protocol(path))
    return name[: len(name) - len(name.partition("://")[2].lstrip("/"))]


def _name_of_copy(uri: str) -> str:
    """Return the path of the copy of a remote file below the folder `COPIES`."""
    prefix, fs_path = address_prefix(uri), filesystem(uri)
    rest = str(fs_path[0].unstrip_protocol(fs_path[1])).removeprefix(prefix)
    parts = rest.split("/")
    if is_web_address(uri) or ".." in parts or max(map(len, parts)) > _LONGEST_NAME:
        endings = "".join(Path(without_query(uri)).suffixes[-2:])  # by which DuckDB finds out the compression
        rest = hashlib.sha256(uri.encode()).hexdigest() + endings
    return f"{prefix.partition(':')[0]}/{rest}"


@contextmanager
def open_database(memory: str = DEFAULT_MEMORY, option: str | None = None) -> Iterator[Database]:
    """Open a temporary database.

    Args:
        memory: The largest amount of memory that DuckDB uses, such as `2GB`.
        option: The option of the command line that sets it, for hints.
    """
    with temporary_folder(PREFIX) as folder, ThreadPoolExecutor(1, "database") as thread:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "threads": str(_cores()),
            "temp_directory": str(folder / _SPILLED),
            # DuckDB would otherwise download an extension that a query needs.
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        connection = duckdb.connect(config=config)
        try:
            database = Database(connection, folder, thread, option)
            database.run("SET TimeZone = 'UTC'")
            database.run("SET enable_progress_bar = false")  # it would be printed between the results
            yield database
        finally:
            connection.close()


def identifier(name: str) -> str:
    """Quote a name of a column or table for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: list[str]) -> str:
    """Quote a list of texts for SQL."""
    return "[" + ", ".join(map(literal, texts)) + "]"


def sql_type(kind: pa.DataType) -> str:
    """Return the SQL type of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{identifier(field.name)} {sql_type(field.type)}' for field in kind)})"
    return _SQL_TYPES[kind]


def describe_error(error: duckdb.Error) -> str:
    """Return the first line of an error of DuckDB, without credentials, and what is wrong in a line of a CSV file."""
    first, *others = str(error).splitlines()
    if "CSV Error on Line" in first:
        first += next((f": {line}" for line in others if line and not line.startswith("Original Line")), "")
    return redact_message(first.rstrip("!."))  # the message of the raised error adds a full stop


def _set_result(result: "Future[T]", statement: Callable[[], T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(statement())
    except UnicodeDecodeError as error:  # of a message that quotes bytes of a damaged file
        result.set_exception(duckdb.InvalidInputException(f"a value is not UTF-8 ({error.reason})"))
    except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
        result.set_exception(error)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
