"""photo2anime query: run SQL queries on the records of an output."""

import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.terminal_text import escape_controls, output_console
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from pipeline.output.query import Query

MAX_ROWS = 50  # printed in a table
MAX_COLUMNS = 8  # of a table; in a wider result, or one with longer values, each column of a row has its own line
MAX_LENGTH = 200  # of a value in a table with several columns
MAX_WIDE_ROWS = 5
DESCRIBED = ["column_name", "column_type", "null", "key", "default", "extra"]  # the columns of DESCRIBE
DEFAULT_MEMORY = "2GB"


class Format(StrEnum):
    """The formats of results."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def query(
    output: Annotated[str, typer.Argument(help="The output folder or bucket address of a run.")],
    sql: Annotated[str, typer.Argument(help="A SELECT statement of DuckDB, on the views provenance, plan and units.")],
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="The format of the result; json writes one object a line.",
            show_default="table, or that of the name of --out",
        ),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="The file or address to write the result to.")] = None,
    memory: Annotated[str, typer.Option(help="The memory limit of the query.")] = DEFAULT_MEMORY,
) -> None:
    """Query how images were made, in SQL. Queries only read.

    The view provenance has one row for each image or failed row. Its column superseded says whether a later plan
    replaced the row. The view plan has the rows of all plans: change is new for a row of a new photo, variant or
    recipe, returned for an earlier row that is current again, and removed for one that is no longer current. The view
    units has the planned units.
    """
    kind = _file_format(format_, out)
    if kind == "parquet" and out is None and sys.stdout.isatty():
        raise OptionError("--format parquet: the result is not text", "Name a file with -o, or redirect the output.")
    # Imported here so that the help of the command line starts fast.
    from pipeline.output.query import open_query
    from pipeline.storage.transfer import upload

    with open_query(output, sql, memory) as opened:
        if kind is None:
            _print_result(opened)
        elif out is not None:
            upload(opened.write(kind), out)
        else:
            with opened.write(kind).open("rb") as result:
                shutil.copyfileobj(result, sys.stdout.buffer)


def _file_format(format_: Format | None, out: str | None) -> Literal["csv", "json", "parquet"] | None:
    """Return the format of the file to write, or None for a table on the terminal."""
    name = format_ or (PurePath(out).suffix.removeprefix(".") if out else Format.TABLE)
    if name in {"csv", "json", "parquet"}:
        return name  # type: ignore[return-value]  # one of the three
    if out is not None:
        raise OptionError(f"--out {out}: a file needs the format csv, json or parquet", "Set --format.")
    return None


def _print_result(opened: "Query") -> None:
    """Print the first rows of a result, and the number of the others."""
    rows = opened.head(MAX_ROWS + 1)
    if is_description := rows.column_names == DESCRIBED:
        rows = rows.select(DESCRIBED[:2])
    values = [list(row.values()) for row in rows.to_pylist()]
    has_long_values = any(len(value or "") > MAX_LENGTH for row in values for value in row)
    is_wide = rows.num_columns > MAX_COLUMNS or (has_long_values and not is_description)
    shown = MAX_WIDE_ROWS if is_wide else MAX_ROWS
    if is_wide:
        for row in values[:shown]:
            _print_table(["column", "value"], list(zip(rows.column_names, row, strict=True)))
    else:
        _print_table(rows.column_names, values[:shown])
    if rows.num_rows > shown:
        more = (opened.count() if rows.num_rows > MAX_ROWS else rows.num_rows) - shown
        typer.echo(f"and {more} more rows; write all of them with --format csv, json or parquet")


def _print_table(headers: list[str], rows: Sequence[Sequence[str | None]]) -> None:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(Text(name), overflow="fold") for name in headers), box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text("\n".join(map(escape_controls, (value or "").split("\n")))) for value in row))
    output_console().print(table)
