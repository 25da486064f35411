"""Open a manifest as a view of a database, with checked ids and columns of the documented types."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline import storage
from pipeline.errors import (
    ColumnCaseError,
    ColumnTypeError,
    DuplicateIdError,
    MissingColumnError,
    MissingIdError,
    NoPhotosError,
    SecretIdError,
)
from pipeline.plan import manifest_files
from pipeline.plan.manifest_files import FILE_COLUMN, ManifestFiles
from pipeline.plan.sql_types import is_deeper, struct_fields
from pipeline.storage.addresses import is_web_address, without_query
from pipeline.storage.database import COPIES, Database, address_prefix, identifier, literal, literals, sql_type
from schemas.detectors import Settings
from schemas.manifest import KNOWN, MAP_URIS, REQUIRED, URIS
from schemas.row_parts import MANIFEST_BOX, POINTS

DEEPEST = 8  # lists, structs and maps within each other; the memory for converting them to JSON doubles with each level
VIEW = "manifest"
_IS_ADDRESS = "regexp_matches(photo_id, '^[A-Za-z][A-Za-z0-9+.-]*:/|^//')"
_REDACT_ID = "redact_id"
EVERY_PHOTO = "every_photo"
CREDENTIALS = "[?#@;]|%3[FfDd]|%40"  # matches every address from which `storage.redact` removes something
_INTEGERS = ("INTEGER", "BIGINT")
_TEXT_TYPE, _SCALAR = re.compile("VARCHAR"), re.compile(r"[A-Z0-9_ ]+(\(\d+,\d+\))?")
# The source types that a nested column accepts. A cast from another type could return nulls instead of failing.
_BOXES = re.compile(r'STRUCT\(.*\bx\b.*\)\[\]|"NULL"\[\]', re.IGNORECASE)
_POINTS = re.compile(r'[A-Z0-9(),]*\[\]\[\]|"NULL"(\[\])+')
_FLOATS = ("FLOAT", "DOUBLE")
_BOX_LIST, _BOX_FIELDS = f"{sql_type(MANIFEST_BOX)}[]", [field.name for field in MANIFEST_BOX]


@dataclass(frozen=True)
class Manifest:
    """A checked manifest, whose rows are in the view `manifest` of a database.

    The view has the columns of `schemas.manifest.KNOWN`, followed by all other columns. Missing columns are null.

    Attributes:
        uri: The address of the manifest.
        rows: The number of photos in the view.
        types: The SQL type of each column of the view.
        filled: The columns that have a value in any row.
        has_credentials: Whether an address may have a login or a query.
    """

    uri: str
    rows: int
    types: dict[str, str]
    filled: frozenset[str]
    has_credentials: bool

    def extra_columns(self, detectors: Iterable[Settings] = ()) -> list[str]:
        """List the columns that the program does not use in a run with these detectors. Provenance keeps them.

        The control maps of other detectors are included if their column has values.
        """
        used = {*KNOWN.names} - MAP_URIS | {f"{settings.name}_uri" for settings in detectors}
        return [name for name in self.types if name not in used and (name not in MAP_URIS or name in self.filled)]


def open_manifest(uri: str, database: Database, limit: int | None = None) -> Manifest:
    """Check a manifest, and create the views `manifest` and `every_photo`, of which only the first is limited.

    Relative addresses are resolved against the folder of their file.

    Args:
        uri: The address of a Parquet, CSV or JSON lines file, of a folder of Parquet files, or a glob.
        database: The database of the view.
        limit: The number of photos to use, from the first on. All rows are checked.

    Raises:
        ManifestError: No file exists, a file cannot be read, or a column or a photo_id is invalid.
    """
    files = manifest_files.find_files(uri)
    relation = manifest_files.reader(files, database)
    types = manifest_files.columns(relation, files, database)
    source = storage.redact(uri)
    for name in REQUIRED.names:
        if name not in types:
            raise MissingColumnError(f"{source}: column {name!r} is missing (columns: {', '.join(types) or 'none'})")
    for name in types:
        if name not in KNOWN.names and name.lower() in KNOWN.names:
            raise ColumnCaseError(f"{source}: column {name!r} is not {name.lower()!r}")
        if is_deeper(types[name], DEEPEST):
            raise ColumnTypeError(f"{source}: column {name!r} has more than {DEEPEST} nested lists, structs or maps")
    expressions = {field.name: _typed(field.name, types, files) for field in KNOWN}
    expressions |= {name: identifier(name) for name in types if name not in expressions}
    manifest = _check_rows(relation, types, expressions, files, database)
    selected = ", ".join(f"{_absolute(name, files)} AS {identifier(name)}" for name in expressions)
    typed = ", ".join(f"{each} AS {identifier(name)}" for name, each in expressions.items())
    rows = f"SELECT {typed}, {FILE_COLUMN} FROM {relation}"
    database.run(f"CREATE OR REPLACE VIEW {EVERY_PHOTO} AS SELECT {selected} FROM ({rows})")
    limited = f"FROM {EVERY_PHOTO}" + (f" LIMIT {limit}" if limit is not None else "")
    database.run(f"CREATE OR REPLACE VIEW {VIEW} AS {limited}")
    return manifest if limit is None else replace(manifest, rows=min(manifest.rows, limit))


def _typed(name: str, types: dict[str, str], files: ManifestFiles) -> str:
    """Return the SQL expression of a known column with its documented type, null where a value is not convertible."""
    target, column = sql_type(KNOWN.field(name).type), identifier(name)
    kind = types.get(name)
    if kind is None or kind == '"NULL"':
        return f"NULL::{target}"
    if kind == target:
        return column
    is_nested = target.endswith("[]")
    if kind in _FLOATS and target in _INTEGERS:
        return f"try_cast({_without_nan(column)} AS {target})"
    if is_nested and kind == "VARCHAR" and files.format == "csv":
        return _from_json(column, target)
    accepted = {"VARCHAR": _TEXT_TYPE, _BOX_LIST: _BOXES, sql_type(POINTS): _POINTS}.get(target, _SCALAR)
    if not accepted.fullmatch(kind) or (target == _BOX_LIST and not _has_box_fields(kind)):
        raise ColumnTypeError(f"{storage.redact(files.uri)}: column {name!r} has type {kind}, not {target}")
    return f"try_cast({column} AS {target})"


def _from_json(column: str, target: str) -> str:
    """Return a column of JSON text, as SQL, with a nested type. The value is null if a box has an unknown field."""
    value = f"try_cast({column} AS JSON)"
    cast = f"try_cast({value} AS {target})"
    if target != _BOX_LIST:
        return cast
    return f"CASE WHEN list_has_all({literals(_BOX_FIELDS)}, flatten(json_keys({value}, '$[*]'))) THEN {cast} END"


def _has_box_fields(kind: str) -> bool:
    """Return whether a type has the fields of a box only. A cast would leave out other fields, such as `lable`."""
    if kind == '"NULL"[]':
        return True
    fields = struct_fields(kind.removesuffix("[]"))
    return all(name.lower() in _BOX_FIELDS for name, _ in fields)


def _without_nan(column: str) -> str:
    """Return a column of floating-point numbers, as SQL, with null for NaN, which pandas writes for missing numbers."""
    # Not `nullif`: DuckDB 2.0.1 optimizes `nullif(x, 'NaN') IS NOT NULL` in a filter to a condition that includes NaN.
    return f"(CASE WHEN isnan({column}) THEN NULL ELSE {column} END)"


def _check_rows(
    relation: str, types: dict[str, str], expressions: dict[str, str], files: ManifestFiles, database: Database
) -> Manifest:
    """Count everything that the checks need in one query, and raise the first error."""
    source = storage.redact(files.uri)
    cast = [name for name, each in expressions.items() if "try_cast" in each]
    addresses = [identifier(name) for name in URIS if name in types]
    has_credentials = " OR ".join(f"regexp_matches({name}::VARCHAR, '{CREDENTIALS}')" for name in addresses)
    counts = {
        "rows": "count(*)",
        "missing ids": "count(*) FILTER (photo_id IS NULL OR photo_id = '')",
        "addresses": f"count(*) FILTER ({_IS_ADDRESS})",
        "ids": "count(DISTINCT photo_id)",
        "credentials": f"coalesce(bool_or({has_credentials}), false)",
        **{f"invalid {name}": f"count(*) FILTER ({_invalid(name, expressions)})" for name in cast},
        **{f"filled {name}": f"count({identifier(name)})" for name in types},
    }
    selected = ", ".join(f"{each} AS {identifier(name)}" for name, each in counts.items())
    (row,) = manifest_files.query(f"SELECT {selected} FROM {relation}", files.uri, database)
    found = dict(zip(counts, row, strict=True))
    rows = int(str(found["rows"]))
    if not rows:
        raise NoPhotosError(f"{source}: no rows")
    for name in cast:
        if found[f"invalid {name}"]:
            value, number = _first(f"{identifier(name)}", _invalid(name, expressions), relation, database)
            raise ColumnTypeError(
                f"{source}: column {name!r} has type {types[name]}, not {sql_type(KNOWN.field(name).type)}"
                f" (row {number}: {value}; invalid rows: {found[f'invalid {name}']})"
            )
    if found["missing ids"]:
        _, number = _first("photo_id", "photo_id IS NULL OR photo_id = ''", relation, database)
        raise MissingIdError(f"{source}: row {number} has no photo_id (rows without one: {found['missing ids']})")
    if found["addresses"]:
        _check_ids(relation, source, database)
    if found["ids"] != rows:
        raise DuplicateIdError(f"{source}: {_duplicates(relation, database)}")
    filled = frozenset(name for name in types if found[f"filled {name}"])
    view_types = {field.name: sql_type(field.type) for field in KNOWN} | {
        name: kind for name, kind in types.items() if name not in KNOWN.names
    }
    return Manifest(files.uri, rows, view_types, filled, bool(found["credentials"]))


def _invalid(name: str, expressions: dict[str, str]) -> str:
    """Return the condition, as SQL, that a value of a column cannot be converted without loss."""
    column, typed = identifier(name), expressions[name]
    column = _without_nan(column) if _without_nan(column) in typed else column
    lost = f"{column} IS NOT NULL AND {typed} IS NULL"
    if sql_type(KNOWN.field(name).type) not in _INTEGERS:
        return lost
    return f"({lost}) OR try_cast({column} AS DOUBLE) <> {typed}"  # a fraction, which the cast would round


def _first(column: str, condition: str, relation: str, database: Database) -> tuple[object, object]:
    """Return the value and the number, from 0, of the first row that fulfils a condition."""
    numbered = f"SELECT {column} AS value, row_number() OVER () - 1 AS number, ({condition}) AS found FROM {relation}"
    value, number = database.row(f"SELECT left(value::VARCHAR, 100), number FROM ({numbered}) WHERE found LIMIT 1")
    return value, number


def _check_ids(relation: str, source: str, database: Database) -> None:
    """Raise an error if a photo_id is an address with a login or a query."""
    database.define_function(_REDACT_ID, storage.redact)
    condition = f"({_IS_ADDRESS}) AND {_REDACT_ID}(photo_id) <> photo_id"
    if database.row(f"SELECT count(*) FROM {relation} WHERE {condition}")[0]:
        _, number = _first("''", condition, relation, database)
        raise SecretIdError(f"{source}: the photo_id of row {number} contains a login or a query")


def _duplicates(relation: str, database: Database) -> str:
    repeated = f"SELECT photo_id, count(*) AS n FROM {relation} GROUP BY photo_id HAVING count(*) > 1"
    query = f"SELECT first(photo_id ORDER BY photo_id), first(n ORDER BY photo_id), count(*) FROM ({repeated})"
    photo_id, rows, number = database.row(query)
    return f"photo_id {photo_id!r} appears in {rows} rows (number of duplicate ids: {number})"


def _absolute(name: str, files: ManifestFiles) -> str:
    """Return a column of the view as SQL. Relative addresses get the folder of their file."""
    column = identifier(name)
    if name not in URIS:
        return column
    folder = f"regexp_replace({FILE_COLUMN}, '/[^/]*$', '')"
    if is_web_address(files.uri):  # FILE_COLUMN is the path of a copy, here and below
        folder = literal(without_query(files.uri).rpartition("/")[0])
    elif storage.local_path(files.uri) is None:
        copies = f"^.*/{COPIES}/[^/]+/"
        folder = f"regexp_replace({folder}, {literal(copies)}, {literal(address_prefix(files.uris[0]))})"
    is_relative = f"{column} <> '' AND NOT contains({column}, '://')"
    return f"CASE WHEN {is_relative} AND {column}[1] <> '/' THEN {folder} || '/' || {column} ELSE {column} END"
