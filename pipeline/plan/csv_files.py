"""Read CSV files, whose values stay as they are written.

The reader of DuckDB would detect the dialect and the columns of a file from its first rows. It would skip rows until
one looks like the header of the following ones, read the id 007 as the number 7, and rows that begin with # as
comments. Here the first line of a file is its header, and every other row must have as many values.
"""

import csv
import io
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from pipeline import storage
from pipeline.storage.database import literal, literals

_VALUES = """auto_detect = false, comment = '', quote = '"', escape = '"'"""
_DELIMITERS = (",", ";", "\t", "|")
_HEADER_BYTES = 2**20  # the first line is in these bytes
_BLOCK_BYTES = 2**22
LONGEST_LINE = 2**22  # bytes; rows of more than 2 MB are refused by DuckDB, unless they end the file
_REQUIRED = "photo_id"  # the column by which the delimiter is found


def csv_header(path: str) -> tuple[str, tuple[str, ...]]:
    """Read the first line of a CSV file, which may be compressed.

    Args:
        path: The address of the file.

    Returns:
        The delimiter, and the names of the columns. A column without a name is called `column` with its number from 0.

    Raises:
        OSError: The file cannot be read.
        csv.Error: The first line is invalid, or the name of a column has a line break.
    """
    text = _first_characters(path)
    headers = {each: next(csv.reader(io.StringIO(text, newline=None), delimiter=each), []) for each in _DELIMITERS}
    delimiter = next((each for each, names in headers.items() if _REQUIRED in names), ",")
    if any("\n" in name for name in headers[delimiter]):  # DuckDB would take it for the end of the header
        raise csv.Error("line break in the name of a column")
    return delimiter, tuple(name or f"column{number}" for number, name in enumerate(headers[delimiter] or [""]))


def check_lines(path: str) -> None:
    """Check that no line of a CSV file is too long for DuckDB, which may leave out such a line at the end of a file.

    Raises:
        OSError: The file cannot be read.
        csv.Error: A line is too long.
    """
    length = 0  # of the line that continues in the next block
    with _opened(path) as file:
        while block := file.read(_BLOCK_BYTES):
            end = max(block.rfind(b"\n"), block.rfind(b"\r"))
            length = len(block) - end - 1 + (length if end < 0 else 0)
            if length > LONGEST_LINE:
                raise csv.Error(f"a line has more than {LONGEST_LINE // 2**20} MiB")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file, which may be compressed. Raises `OSError` if it cannot be decompressed."""
    fs, path = storage.filesystem(path)
    try:
        with fs.open(path, "rb", compression="infer") as file:
            yield file
    except (EOFError, zlib.error) as error:
        raise OSError(f"invalid compression: {error}") from error


def _first_characters(path: str) -> str:
    with _opened(path) as file:
        return file.read(_HEADER_BYTES).decode("utf-8-sig", errors="replace")


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
