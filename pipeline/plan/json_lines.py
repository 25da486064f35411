"""Detect the columns of JSON lines files, whose text stays text."""

from collections.abc import Sequence

from duckdb.sqltypes import DuckDBPyType

from pipeline.storage.database import Database, identifier, literal, literals

# DuckDB converts text of these forms, such as the id 5e0b4d6e-2d0c-4b0e-9d53-4a3f3a2b1c00 or the caption 2026-01-01.
_DETECTED_IN_TEXT = frozenset({"uuid", "date", "time", "time with time zone"})


def json_relation(paths: Sequence[str], options: Sequence[str], database: Database) -> str:
    """Return the table function, as SQL, that reads JSON lines files. The values of all rows decide the types.

    Args:
        paths: The paths of the files.
        options: Further options of the function.
        database: The database.

    Raises:
        duckdb.Error: A file cannot be read.
    """
    files, lines = literals(list(paths)), "format = 'newline_delimited'"
    every = f"sample_size = -1, maximum_sample_files = {len(paths)}, union_by_name = {len(paths) > 1}"
    types = database.columns(f"read_json({files}, {lines}, {every}, hive_partitioning = false)")
    columns = ", ".join(f"{literal(name)}: {literal(_type_with_text(kind))}" for name, kind in types)
    return f"read_json({', '.join([files, lines, *options])}, columns = {{{columns}}})"


def json_names(paths: Sequence[str], database: Database) -> list[str]:
    """Return the names of all columns of JSON lines files, also those that differ in case only."""
    source = f"read_json_objects({literals(list(paths))}, format = 'newline_delimited', hive_partitioning = false)"
    query = f"SELECT DISTINCT name FROM (SELECT unnest(json_keys(json)) AS name FROM {source}) ORDER BY name"
    return [name for (name,) in database.rows(query)]


def _type_with_text(kind: DuckDBPyType) -> str:
    """Return a type as SQL, with VARCHAR for each type that DuckDB detects in text."""
    if kind.id in _DETECTED_IN_TEXT or kind.id.startswith("timestamp"):
        return "VARCHAR"
    if kind.id not in {"list", "struct", "map"}:
        return str(kind)
    children = [(name, _type_with_text(child)) for name, child in kind.children if isinstance(child, DuckDBPyType)]
    if kind.id == "list":
        return f"{children[0][1]}[]"
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{identifier(name)} {child}' for name, child in children)})"
    return f"MAP({', '.join(child for _, child in children)})"
