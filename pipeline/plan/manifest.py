"""Manifests: read from Parquet, or made by listing a folder of pictures."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline import storage
from pipeline.errors import ManifestError
from pipeline.images.formats import DECODER_ERRORS, EXTENSIONS, FORMATS
from pipeline.images.photo import read_header
from schemas.detectors import Settings
from schemas.manifest import KNOWN, MAP_URIS, REQUIRED, URIS
from schemas.work import Row

READERS = 16  # threads: a header is a wait for the network, not work
HEADER_BLOCK = 64 * 1024  # bytes per read of a header: most hold size and EXIF in one
_LISTED = pa.schema([KNOWN.field(name) for name in ("photo_id", "uri", "width", "height", "bytes", "etag", "modified")])

ListingProgress = Callable[[int, int], None]
"""Called with how many photos are done, and of how many."""


def read_manifest(uri: str) -> pa.Table:
    """Return the checked manifest in one Parquet file, a folder of them, or the files that a glob names.

    Relative uris in it become absolute, from the folder of the file they stand in. Raises `ManifestError`.
    """
    found = _parquet_files(uri)
    if not found:
        message = f"{storage.redact(uri)}: no Parquet file there"
        raise ManifestError(message, "Name a manifest, a glob, a folder of manifests or a folder of pictures.")
    tables = [_read_file(file) for file in found]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        message = f"{storage.redact(uri)}: the files' columns do not agree ({error})"
        raise ManifestError(message, "Write them with one schema.") from error
    return check_manifest(whole, storage.redact(uri))


def is_photo_folder(uri: str) -> bool:
    """Tell whether `uri` is a folder without Parquet files, to be listed as pictures."""
    return not _is_glob(uri) and storage.is_folder(uri) and not _parquet_files(uri)


def list_photos(
    folder: str, progress: ListingProgress | None = None, *, skip: str = "", known: pa.Table | None = None
) -> pa.Table:
    """Return a manifest of the pictures below `folder`: headers are read, pixels are not.

    Nothing below `skip` is listed. Sizes of photos that stand unchanged in the manifest `known` are taken from there.
    A picture whose header cannot be read is listed without a size, so that the run can record why it failed.
    Raises `ManifestError` where there is no picture.
    """
    address = storage.absolute(folder)
    skipped = storage.join(storage.absolute(skip), "") if skip else None
    found = [
        _listed(name, storage.join(address, name), info)
        for name, info in storage.files(folder).items()
        if name.lower().endswith(EXTENSIONS)
    ]
    rows = [row for row in found if not (skipped and row["uri"].startswith(skipped))]
    if not rows:
        message = f"{storage.redact(folder)}: no picture there ({', '.join(EXTENSIONS)})"
        raise ManifestError(message, "Check the address.")
    sizes = {_stamp(row): (row["width"], row["height"]) for row in known.to_pylist()} if known is not None else {}
    with ThreadPoolExecutor(READERS) as readers:
        for number, (row, size) in enumerate(
            zip(rows, readers.map(lambda row: _size(row, sizes), rows), strict=True), 1
        ):
            row["width"], row["height"] = size
            if progress:
                progress(number, len(rows))
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["photo_id"]), _LISTED)


def _read_file(uri: str) -> pa.Table:
    try:
        table = storage.read_table(uri)
    except pa.ArrowException as error:
        message = f"{storage.redact(uri)}: no Parquet file ({error})"
        raise ManifestError(message, "A manifest is Parquet with the columns photo_id and uri.") from error
    base = storage.absolute(uri).rpartition("/")[0]
    for name in URIS:
        place = table.schema.get_field_index(name)
        if place >= 0 and is_text(table.schema.field(place).type):
            absolute = [_absolute(value, base) for value in table[name].to_pylist()]
            table = table.set_column(place, name, pa.array(absolute, pa.string()))
    return table


def _absolute(uri: str | None, base: str) -> str | None:
    if not uri or "://" in uri or "::" in uri or uri.startswith("/"):
        return uri
    return storage.join(base, uri)


def _is_glob(uri: str) -> bool:
    return any(mark in uri for mark in "*?[") and not storage.exists(uri)


def _parquet_files(uri: str) -> list[str]:
    fs, path = storage.filesystem(uri)
    if _is_glob(uri):
        with storage.translate_errors(uri):
            found = [name for name in sorted(fs.glob(path)) if name.endswith(".parquet")]
        return [storage.absolute(fs.unstrip_protocol(name)) for name in found]
    if not storage.is_folder(uri):
        if not storage.exists(uri):
            message = f"{storage.redact(uri)}: not found"
            raise ManifestError(message, "Check the address.")
        return [uri]
    found = [name for name in storage.names(uri) if name.endswith(".parquet") and not name.startswith(("_", "."))]
    return [storage.join(uri, name) for name in found]


def _listed(name: str, uri: str, info: Row) -> Row:
    modified = info.get("LastModified") or info.get("last_modified") or info.get("updated") or info.get("mtime")
    etag = info.get("ETag") or info.get("etag")
    return {
        "photo_id": name,
        "uri": uri,
        "bytes": info["size"],
        "etag": str(etag).strip('"') if etag else None,
        "modified": _moment(modified),
    }


def _moment(modified: datetime | float | str | None) -> datetime | None:
    if isinstance(modified, str):
        return datetime.fromisoformat(modified)
    if isinstance(modified, (int, float)):
        return datetime.fromtimestamp(modified, UTC)
    return modified


def _stamp(row: Row) -> tuple[Any, ...]:
    return row["uri"], row["bytes"], row["etag"], row["modified"]


def _size(row: Row, known: dict[tuple[Any, ...], tuple[int | None, int | None]]) -> tuple[int | None, int | None]:
    """Return width and height of the upright photo, by its header alone."""
    if _stamp(row) in known:
        return known[_stamp(row)]
    fs, path = storage.filesystem(row["uri"])
    try:
        with fs.open(path, "rb", block_size=HEADER_BLOCK) as file, Image.open(file, formats=FORMATS) as image:
            return read_header(image).size
    except (*DECODER_ERRORS, *storage.storage_errors()):
        return None, None


def check_manifest(table: pa.Table, source: str) -> pa.Table:
    """Return `table` with the known columns in the types of `KNOWN` (absent ones all null) and the further ones as is.

    Raises `ManifestError`, naming `source`, for a missing column, a wrong type, an empty or a doubled photo_id.
    """
    for name in REQUIRED.names:
        if name not in table.column_names:
            found = ", ".join(table.column_names) or "none"
            message = f"{source}: column {name!r} is missing (found: {found})"
            raise ManifestError(message, "A manifest needs photo_id and uri.")
    doubled = [name for name, count in Counter(table.column_names).items() if count > 1]
    if doubled:
        message = f"{source}: column {doubled[0]!r} stands twice"
        raise ManifestError(message, "Name each column once.")
    if not table.num_rows:
        message = f"{source}: no row"
        raise ManifestError(message, "A manifest holds one row per photo.")
    columns = {field.name: _typed(table, field, source) for field in KNOWN}
    columns |= {name: table[name] for name in table.column_names if name not in columns}
    _check_ids(columns["photo_id"], source)
    return pa.table(columns)


def extra_columns(table: pa.Table, detectors: Iterable[Settings] = ()) -> list[str]:
    """Name the columns that a run with these detectors does not use, and carries into provenance as they are."""
    used = {*KNOWN.names} - MAP_URIS | {f"{settings.name}_uri" for settings in detectors}
    filled = (name for name in table.column_names if name not in used)
    return [name for name in filled if name not in MAP_URIS or table[name].null_count < table.num_rows]


def _typed(table: pa.Table, field: pa.Field, source: str) -> pa.ChunkedArray | pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    wrong = pa.types.is_string(field.type) and not is_text(column.type)
    if not wrong:
        try:
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            wrong = True
    message = f"{source}: column {field.name!r} holds {column.type}, not {field.type}"
    raise ManifestError(message, "Cast it when you write the manifest.")


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is taken as text: any of Arrow's strings, or nothing but nulls."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _check_ids(ids: pa.ChunkedArray, source: str) -> None:
    empty = pc.or_kleene(pc.is_null(ids), pc.equal(ids, ""))
    if (row := pc.index(empty, True).as_py()) >= 0:
        message = f"{source}: row {row} has no photo_id"
        raise ManifestError(message, "Give each photo a name of its own.")
    counts = pc.value_counts(ids)
    doubled = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(doubled):
        first = doubled[0].as_py()
        message = f"{source}: photo_id {first['values']!r} stands in {first['counts']} rows ({len(doubled)} such ids)"
        raise ManifestError(message, "Each photo_id may stand once.")
