"""Run SQL queries on the records and plans of an output.

Queries only read. A query is one SELECT statement, and DuckDB opens no other files than those of the output's records
and plans, and of its own temporary folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import duckdb
import pyarrow as pa
from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from pipeline import storage
from pipeline.errors import DamagedOutputError, OptionError, QueryError
from pipeline.output import plan_store, provenance, run_file
from pipeline.output.plan_store import StoredPlan
from pipeline.storage.database import DEFAULT_MEMORY, Database, describe_error, literal, literals, open_database
from schemas.work import PLANNED_UNITS

Format: TypeAlias = Literal["csv", "json", "parquet"]

VIEW = "provenance"
_FORMATS: dict[str, str] = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json", "parquet": "FORMAT parquet"}
_MEMORY = TypeAdapter(Annotated[ByteSize, Field(ge=50 * 10**6, le=10**18)])  # DuckDB accepts "none", for no limit
_HINTS = {
    duckdb.StatementType.EXPLAIN: "Use DESCRIBE or SUMMARIZE.",
    # DuckDB creates a type for the values of a PIVOT that does not name them.
    duckdb.StatementType.MULTI: "Name the values of PIVOT: FROM units PIVOT (count(*) FOR recorded IN (true, false)).",
}


class Query:
    """A query of an output.

    Args:
        database: The database with the views of the output.
        statement: A SELECT statement.
    """

    def __init__(self, database: Database, statement: str) -> None:
        self._database = database
        self._folder = database.spill_folder  # the only folder in which DuckDB may write
        self._select = f"(\n{statement}\n)"  # the line breaks end comments

    def head(self, rows: int) -> pa.Table:
        """Return the first rows of the result, with values as text.

        Raises:
            QueryError: The query is invalid.
        """
        with _query_errors():
            return self._database.table(f"SELECT COLUMNS(*)::VARCHAR FROM {self._select} LIMIT {rows}")

    def count(self) -> int:
        """Return the number of rows of the result."""
        with _query_errors():
            (rows,) = self._database.row(f"SELECT count(*) FROM {self._select}")
        return int(rows)

    def write(self, kind: Format) -> Path:
        """Write the result to a temporary file, which is removed with the database.

        Args:
            kind: The format of the file. JSON has one object a line.

        Raises:
            QueryError: The query is invalid.
        """
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"result.{kind}"
        with _query_errors():
            self._database.run(f"COPY {self._select} TO {literal(str(path))} ({_FORMATS[kind]})")
        return path


@contextmanager
def open_query(output: str, text: str, memory: str = DEFAULT_MEMORY) -> Iterator[Query]:
    """Open a query of an output.

    It may use three views: `provenance`, all rows of the records, with the column `superseded`; `plan`, the planned
    rows; and `units`, the planned units, with the column `recorded`.

    Args:
        output: The address of the output.
        text: The query, one SELECT statement.
        memory: The largest amount of memory that DuckDB uses, such as `2GB`.

    Raises:
        NotAnOutputError: The folder was not written by photo2anime.
        DamagedOutputError: A plan, or the first record, cannot be read.
        QueryError: The text is not one SELECT statement.
        OptionError: `memory` is invalid.
    """
    run_file.check_output(output)
    with open_database(f"{_memory_limit(memory)}B", "--memory") as database:
        with _query_errors():
            query = Query(database, _select_statement(text, database))
        plans, units = plan_store.read_plans(output), provenance.done_units(output)
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        records = provenance.open_records(output, units, database)
        _create_views(plans, units, database)
        parts = [storage.join(plan.uri, name) for plan in plans for name in plan.files]
        _forbid_other_files([*records, *parts], database)
        yield query


def _memory_limit(memory: str) -> int:
    """Return an amount of memory in bytes."""
    try:
        return _MEMORY.validate_python(memory)
    except ValidationError as error:
        hint = "Write a number and a unit, such as 2GB, of at least 50MB."
        raise OptionError(f"--memory {memory}: invalid amount", hint) from error


def _select_statement(text: str, database: Database) -> str:
    """Return the only statement of a text. Raises `QueryError` if it is not a SELECT statement, or has parameters."""
    try:
        content = text.encode()  # the offsets of tokens count bytes
    except UnicodeEncodeError as error:
        raise QueryError("query: not valid Unicode") from error
    statements = database.connection.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        hint = _HINTS.get(statements[0].type) if len(statements) == 1 else None
        raise QueryError("query: not a single SELECT statement", hint)
    end = next((offset for offset, _ in duckdb.tokenize(text) if content[offset : offset + 1] == b";"), len(content))
    return content[:end].decode()


def _create_views(plans: list[StoredPlan], units: set[str], database: Database) -> None:
    # Without superseded rows, the keys of the records need not be read.
    superseded = "key IN (FROM superseded)" if plan_store.may_supersede(plans) else "false"
    columns = "* EXCLUDE (file_unit, position)"
    database.run(f"CREATE VIEW {VIEW} AS SELECT {columns}, {superseded} AS superseded FROM records")
    index = pa.concat_tables([PLANNED_UNITS.empty_table(), *(plan.units for plan in plans)])
    recorded = pa.array([unit in units for unit in index["unit"].to_pylist()], pa.bool_())
    database.connection.register("index_of_units", index.append_column("recorded", recorded))
    database.run("CREATE TABLE units AS FROM index_of_units")
    database.connection.unregister("index_of_units")


def _forbid_other_files(uris: list[str], database: Database) -> None:
    """Restrict the database to some files and to its temporary folder, for as long as it is open."""
    # DuckDB checks the pattern of a file, and then its path.
    database.run(f"SET allowed_paths = {literals([*map(database.path, uris), *database.patterns(uris)])}")
    database.run("SET python_enable_replacements = false")  # otherwise names of tables may be variables of Python
    database.run("SET enable_external_access = false")
    database.run("SET lock_configuration = true")


@contextmanager
def _query_errors() -> Iterator[None]:
    """Raise errors of DuckDB as `QueryError`, except those that `Database` translates."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if ".parquet'" not in str(error):
            raise QueryError(f"query: {describe_error(error)}") from error
        raise DamagedOutputError(f"query: {describe_error(error)}") from error  # queries cannot name files
    except (duckdb.Error, OSError) as error:  # OSError: of fsspec
        reason = describe_error(error) if isinstance(error, duckdb.Error) else storage.redact_message(str(error))
        raise QueryError(f"query: {reason}") from error
