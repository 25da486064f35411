"""Read CSV files, whose values stay as they are written.

The reader of DuckDB would detect the dialect and the columns of a file from its first rows. It would skip rows until
one looks like the header of the following ones, read the id 007 as the number 7, and rows that begin with # as
comments. Here the first line of a file is its header, and every other row must have as many values.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence

from pipeline.storage.database import Database, literal, literals

_VALUES = """auto_detect = false, comment = '', quote = '"', escape = '"'"""
_LINES = r"auto_detect = false, comment = '', quote = '', escape = '', delim = '\x01', columns = {'line': 'VARCHAR'}"
_DELIMITERS = (",", ";", "\t", "|")
_REQUIRED = "photo_id"  # the column by which the delimiter is found


def csv_header(path: str, database: Database) -> tuple[str, tuple[str, ...]]:
    """Read the first line of a CSV file.

    Args:
        path: The path of the file, as a pattern of DuckDB.
        database: The database.

    Returns:
        The delimiter, and the names of the columns. A column without a name is called `column` with its number from 0.

    Raises:
        duckdb.Error: The file cannot be read.
    """
    rows = database.rows(f"FROM read_csv({literals([path])}, {_LINES}, hive_partitioning = false) LIMIT 1")
    line = (rows[0][0] if rows else None) or ""
    headers = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in _DELIMITERS}
    delimiter = next((each for each, names in headers.items() if _REQUIRED in names), ",")
    return delimiter, tuple(name or f"column{number}" for number, name in enumerate(headers[delimiter] or [""]))


def csv_relation(headers: Sequence[tuple[str, tuple[str, ...]]], paths: Sequence[str], options: Sequence[str]) -> str:
    """Return the relation, as SQL, that reads CSV files. All columns are text, and equal names are one column.

    Args:
        headers: The result of `csv_header` for each file.
        paths: The paths of the files, as patterns of DuckDB.
        options: Further options of `read_csv`.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for header, path in zip(headers, paths, strict=True):
        groups[header].append(path)
    readers = []
    for (delimiter, names), same in groups.items():
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        dialect = [_VALUES, f"delim = {literal(delimiter)}", "header = true", f"columns = {{{columns}}}"]
        readers.append(f"FROM read_csv({', '.join([literals(same), *dialect, *options])})")
    return f"({' UNION ALL BY NAME '.join(readers)})"
