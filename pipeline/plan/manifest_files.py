"""Find the files of a manifest, and check that their columns fit together."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline import storage
from pipeline.errors import (
    ColumnTypeError,
    DuplicateColumnError,
    ManifestFormatError,
    ManifestNotFoundError,
    ManifestSchemaError,
)
from pipeline.plan.csv_files import check_lines, csv_header, csv_relation
from pipeline.plan.json_lines import json_names, json_relation
from pipeline.storage.addresses import without_query
from pipeline.storage.database import Database, describe_error, identifier, literal, literals
from pipeline.storage.requests import LISTING_SECONDS, request
from pipeline.storage.walk import list_level, walk_files

FORMATS = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "json": (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
}
FILE_COLUMN = "__photo2anime_file"  # the path of the file of a row; no manifest has a column of this name
_WILDCARDS = re.compile(r"[*?\[]")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PARTITION = re.compile(r"[^/=]+=[^/=]*")  # the name of a folder of a hive-partitioned manifest, such as day=2026-01-01


@dataclass(frozen=True)
class ManifestFiles:
    """The files of a manifest.

    Attributes:
        uri: The address of the manifest.
        uris: The absolute addresses of the files, sorted.
        format: A key of `FORMATS`.
        partitions: The columns that the names of the folders contain.
    """

    uri: str
    uris: list[str]
    format: str
    partitions: tuple[str, ...] = ()


def find_files(uri: str) -> ManifestFiles:
    """Find the files of a manifest: one file, the Parquet files of a folder, or the files that match a glob.

    A folder may be partitioned into subfolders such as `day=2026-01-01`, whose names add columns to the rows of their
    files.

    Raises:
        ManifestNotFoundError: No file or folder exists at the address, or the folder has no Parquet files.
        ManifestFormatError: The format of a file is not supported, or the files have several formats.
    """
    root = ""
    if _is_glob(uri):
        fs, path = storage.filesystem(uri)
        with storage.translate_errors(uri):
            matches = [
                storage.absolute(fs.unstrip_protocol(name))
                for name in sorted(request(fs, "glob", path, seconds=LISTING_SECONDS))
            ]
        uris = [name for name in matches if format_of(name)]
        fixed = _WILDCARDS.split(uri)[0]
        root = storage.absolute(fixed[: fixed.rfind("/") + 1] or ".")
    elif storage.is_folder(uri):
        uris, root = _parquet_files(uri), storage.absolute(uri)
    elif storage.exists(uri):
        uris = [storage.absolute(uri)]
    else:
        raise ManifestNotFoundError(f"{storage.redact(uri)}: not found")
    if not uris:
        raise ManifestNotFoundError(f"{storage.redact(uri)}: no Parquet files found")
    formats = {format_of(name) for name in uris}
    if len(formats) > 1 or None in formats:
        raise ManifestFormatError(f"{storage.redact(uri)}: unsupported file format, or several formats")
    (kind,) = formats
    return ManifestFiles(uri, uris, str(kind), _partitions(uri, uris, root) if root else ())


def _partitions(manifest: str, uris: list[str], root: str) -> tuple[str, ...]:
    """Return the columns that the names of folders below `root` contain.

    Raises:
        ManifestSchemaError: The files are in partitions with different columns.
    """
    found = set()
    for uri in uris:
        folders = uri.removeprefix(root).split("/")[:-1]
        found.add(tuple(folder.partition("=")[0] for folder in folders if _PARTITION.fullmatch(folder)))
    if len(found) > 1:
        described = " and ".join(", ".join(names) or "none" for names in sorted(found)[:2])
        raise ManifestSchemaError(f"{storage.redact(manifest)}: partitions have different columns ({described})")
    return found.pop()


def is_photo_folder(uri: str) -> bool:
    """Return whether an address is a folder without Parquet files. Such a folder is listed by `list_photos`."""
    return not _is_glob(uri) and storage.is_folder(uri) and not any(True for _ in _parquet_names(uri))


def format_of(uri: str) -> str | None:
    """Return the format of a manifest file by its name, or None."""
    name = without_query(uri).lower()
    return next((kind for kind, endings in FORMATS.items() if name.endswith(endings)), None)


def reader(files: ManifestFiles, database: Database) -> str:
    """Return the table function, as SQL, that reads the files of a manifest with the column `FILE_COLUMN`.

    Raises:
        ManifestFormatError: A file cannot be read.
        DuplicateColumnError: A file has two columns of one name, or of names that differ in case only.
        ManifestSchemaError: A column has different types in the files.
    """
    relation = _relation(files, database)
    if not files.partitions:
        return relation
    _check_names([*columns(relation, files, database), *files.partitions], files.uri)
    values = ", ".join(f"{_partition_value(name)} AS {identifier(name)}" for name in files.partitions)
    return f"(SELECT *, {values} FROM {relation})"


def _relation(files: ManifestFiles, database: Database) -> str:
    """Return `reader` without the columns of partitions."""
    patterns = database.patterns(files.uris)
    paths, options = literals(patterns), [f"filename = {literal(FILE_COLUMN)}", "hive_partitioning = false"]
    if files.format == "json":
        with manifest_errors(files.uri):
            _check_names(json_names(patterns, database), files.uri)
            return json_relation(patterns, options, database)
    if files.format == "csv":
        with manifest_errors(files.uri):
            local = [database.path(uri) for uri in files.uris]
            headers = [csv_header(path) for path in local]
            for path in local:
                check_lines(path)
        for uri, (_, names) in zip(files.uris, headers, strict=True):
            _check_names(list(names), uri)
        return csv_relation(headers, patterns, options)
    if len(files.uris) > 1:
        options.append("union_by_name = true")
    _check_parquet_columns(files, database, paths)
    return f"read_parquet({', '.join([paths, *options])})"


def _partition_value(name: str) -> str:
    """Return the value of a partition column as SQL, a text, from the path of a file."""
    # DuckDB reads partitions too, but also from the folders above the manifest, whose names are not part of it.
    pattern = literal(f"^.*/{re.escape(name)}=([^/]*)/")  # the last folder of this name, which is below the manifest
    return f"nullif(url_decode(regexp_extract({FILE_COLUMN}, {pattern}, 1)), {literal(_NULL_PARTITION)})"


def columns(relation: str, files: ManifestFiles, database: Database) -> dict[str, str]:
    """Return the SQL type of each column of a manifest by its name. Raises `ManifestFormatError`."""
    with_file = query(f"DESCRIBE SELECT * FROM {relation}", files.uri, database)
    return {name: kind for name, kind, *_ in with_file if name != FILE_COLUMN}


@contextmanager
def manifest_errors(uri: str) -> Iterator[None]:
    """Translate the errors of queries that read a manifest.

    Raises:
        ManifestFormatError: A file cannot be read.
        ColumnTypeError: A value is out of range.
    """
    try:
        yield
    except duckdb.DataError as error:  # such as the year 300000
        raise ColumnTypeError(f"{storage.redact(uri)}: a value is out of range ({describe_error(error)})") from error
    except (duckdb.Error, OSError, csv.Error) as error:  # OSError: of fsspec
        raise ManifestFormatError(f"{storage.redact(uri)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, duckdb.Error):
        return describe_error(error)
    return str(error) if isinstance(error, csv.Error) else type(error).__name__


def query(statement: str, uri: str, database: Database) -> list[tuple[Any, ...]]:
    """Execute a query that reads a manifest. Raises the errors of `manifest_errors`."""
    with manifest_errors(uri):
        return database.rows(statement)


def _is_glob(uri: str) -> bool:
    return bool(_WILDCARDS.search(uri)) and not storage.exists(uri)


def _parquet_files(folder: str) -> list[str]:
    """Return the addresses of the Parquet files of a folder and of its partitions, without hidden ones."""
    absolute = storage.absolute(folder)
    return [storage.join(absolute, name) for name in sorted(_parquet_names(folder))]


def _parquet_names(folder: str) -> Iterator[str]:
    """Yield the names of these files. A folder of photos may have more names than fit in memory."""
    partitions: list[str] = []
    for page, subfolders in list_level(folder):
        yield from (entry.name for entry in page if _is_visible_parquet(entry.name))
        partitions += filter(_PARTITION.fullmatch, subfolders)
    for partition in partitions:
        for page in walk_files(storage.join(folder, partition)):
            yield from (f"{partition}/{entry.name}" for entry in page if _is_visible_parquet(entry.name))


def _is_visible_parquet(name: str) -> bool:
    return name.endswith(".parquet") and not name.rpartition("/")[2].startswith(("_", "."))


def _check_names(names: list[str], uri: str) -> None:
    """Raise an error for names that differ in case only."""
    for lower, count in Counter(name.lower() for name in names).items():
        if count > 1:
            same = ", ".join(repr(name) for name in names if name.lower() == lower)
            raise DuplicateColumnError(f"{storage.redact(uri)}: {count} columns have one name: {same}")


def _check_parquet_columns(files: ManifestFiles, database: Database, paths: str) -> None:
    """Raise an error for duplicate columns, which DuckDB renames, and for types that it would convert to text."""
    statement = f"SELECT file_name, name, num_children, type, logical_type FROM parquet_schema({paths})"
    entries = query(statement, files.uri, database)
    kinds: dict[str, set[str]] = defaultdict(set)
    by_file: dict[object, list[tuple[Any, ...]]] = defaultdict(list)
    for file, *entry in entries:
        by_file[file].append(tuple(entry))
    for file_entries in by_file.values():
        top = _top_level(file_entries)
        _check_names([str(name) for name, *_ in top], files.uri)
        for name, _, physical, logical in top:
            kinds[str(name)].add(_kind(physical, logical))
    for name, found in kinds.items():
        if len(found - {"null"}) > 1:
            described = " and ".join(sorted(found - {"null"}))
            raise ManifestSchemaError(f"{storage.redact(files.uri)}: column {name!r} has different types ({described})")


def _top_level(entries: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the columns of a Parquet schema, which lists each group before its members."""
    top, index = [], 1  # the first entry is the root

    def skip(position: int) -> int:
        children = entries[position][1]
        position += 1
        for _ in range(int(children) if isinstance(children, int) else 0):
            position = skip(position)
        return position

    while index < len(entries):
        top.append(entries[index])
        index = skip(index)
    return top


def _kind(physical: object, logical: object) -> str:
    """Return a word for the kind of a Parquet type. Types of one kind can be converted without loss of meaning."""
    name = str(logical).partition("(")[0].removesuffix("Type").lower() if logical else ""
    if name in {"string", "null", "list", "map", "date", "time", "timestamp", "uuid"}:
        return name
    numbers = {"INT32", "INT64", "INT96", "FLOAT", "DOUBLE"}
    if physical in numbers or name in {"decimal", "int", "integer", "float16"}:
        return "number"
    return str(physical).lower() if physical else "struct"
