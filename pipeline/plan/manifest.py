"""Read manifests from Parquet files, or create them by listing a folder of photos."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline import storage
from pipeline.errors import (
    ColumnTypeError,
    DuplicateColumnError,
    DuplicateIdError,
    ManifestFormatError,
    ManifestNotFoundError,
    ManifestSchemaError,
    MissingColumnError,
    MissingIdError,
    NoPhotosError,
)
from pipeline.images.formats import DECODER_ERRORS, EXTENSIONS, FORMATS
from pipeline.images.photo import read_header
from schemas.detectors import Settings
from schemas.manifest import KNOWN, MAP_URIS, REQUIRED, URIS

READERS = 16  # threads; reading a header mostly waits for the network
HEADER_BLOCK = 64 * 1024  # bytes per read; most photos have their size and EXIF data in the first block
_LISTED = pa.schema([KNOWN.field(name) for name in ("photo_id", "uri", "width", "height", "bytes", "etag", "modified")])

ListingProgress = Callable[[int, int], None]
"""A callback with the number of finished photos and the number of all photos."""


def read_manifest(uri: str) -> pa.Table:
    """Read and check a manifest. Relative uris are resolved against the folder of their Parquet file.

    Args:
        uri: The address of a Parquet file, of a folder with Parquet files, or a glob that matches Parquet files.

    Raises:
        ManifestError: If no file exists, a file is not Parquet, or the columns or photo ids are invalid.
    """
    files = _parquet_files(uri)
    if not files:
        raise ManifestNotFoundError(f"{storage.redact(uri)}: no Parquet files found")
    tables = [_read_file(file) for file in files]
    for table in tables:
        _check_column_names(table, storage.redact(uri))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise ManifestSchemaError(
            f"{storage.redact(uri)}: the columns of the files have different types ({error})"
        ) from error
    return check_manifest(table, storage.redact(uri))


def is_photo_folder(uri: str) -> bool:
    """Return whether an address is a folder without Parquet files. Such a folder is listed by `list_photos`."""
    return not _is_glob(uri) and storage.is_folder(uri) and not _parquet_files(uri)


def list_photos(
    folder: str, progress: ListingProgress | None = None, *, skip: str = "", known: pa.Table | None = None
) -> pa.Table:
    """Create a manifest of the photos below a folder. Reads only the headers of the photos.

    A photo with an invalid header is listed without a size, so that the run can record why it failed.

    Args:
        folder: The address of the folder.
        progress: A callback for the progress of the listing.
        skip: The address of a subfolder that is not listed, such as the output of the run. Empty for none.
        known: An earlier manifest of the folder. The sizes of unchanged photos are taken from it.

    Raises:
        NoPhotosError: If the folder has no photos.
    """
    address = storage.absolute(folder)
    skipped = storage.join(storage.absolute(skip), "") if skip else None
    listed = [
        _listed_row(name, storage.join(address, name), info)
        for name, info in storage.files(folder).items()
        if name.lower().endswith(EXTENSIONS)
    ]
    rows = [row for row in listed if not (skipped and row["uri"].startswith(skipped))]
    if not rows:
        raise NoPhotosError(f"{storage.redact(folder)}: no photos found (extensions: {', '.join(EXTENSIONS)})")
    sizes = {_version(row): (row["width"], row["height"]) for row in known.to_pylist()} if known is not None else {}
    with ThreadPoolExecutor(READERS) as readers:
        results = zip(rows, readers.map(lambda row: _size(row, sizes), rows), strict=True)
        for number, (row, size) in enumerate(results, 1):
            row["width"], row["height"] = size
            if progress:
                progress(number, len(rows))
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["photo_id"]), _LISTED)


def check_manifest(table: pa.Table, source: str) -> pa.Table:
    """Check a manifest, and cast its known columns to the types of `schemas.manifest.KNOWN`.

    Args:
        table: The manifest.
        source: The name of the manifest in error messages.

    Returns:
        The known columns, followed by all other columns unchanged. Missing optional columns are null.

    Raises:
        ManifestError: If a column is missing, duplicate or of the wrong type, or a photo_id is missing or duplicate.
    """
    for name in REQUIRED.names:
        if name not in table.column_names:
            columns = ", ".join(table.column_names) or "none"
            raise MissingColumnError(f"{source}: column {name!r} is missing (columns: {columns})")
    _check_column_names(table, source)
    if not table.num_rows:
        raise NoPhotosError(f"{source}: no rows")
    typed = {field.name: _typed_column(table, field, source) for field in KNOWN}
    typed |= {name: table[name] for name in table.column_names if name not in typed}
    _check_ids(typed["photo_id"], source)
    return pa.table(typed)


def extra_columns(table: pa.Table, detectors: Iterable[Settings] = ()) -> list[str]:
    """List the columns that the program itself does not use in a run with these detectors. They are kept in provenance.

    The control maps of other detectors are included if their column has values.
    """
    used = {*KNOWN.names} - MAP_URIS | {f"{settings.name}_uri" for settings in detectors}
    unused = (name for name in table.column_names if name not in used)
    return [name for name in unused if name not in MAP_URIS or table[name].null_count < table.num_rows]


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column type is accepted as text: an Arrow string type, a dictionary of strings, or null."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _parquet_files(uri: str) -> list[str]:
    """List the addresses of the Parquet files of a manifest, which is a file, a folder or a glob.

    Raises:
        ManifestNotFoundError: If no file or folder exists at the address.
    """
    fs, path = storage.filesystem(uri)
    if _is_glob(uri):
        with storage.translate_errors(uri):
            matches = [name for name in sorted(fs.glob(path)) if name.endswith(".parquet")]
        return [storage.absolute(fs.unstrip_protocol(name)) for name in matches]
    if storage.is_folder(uri):
        names = [name for name in storage.names(uri) if name.endswith(".parquet") and not name.startswith(("_", "."))]
        return [storage.join(uri, name) for name in names]
    if not storage.exists(uri):
        raise ManifestNotFoundError(f"{storage.redact(uri)}: not found")
    return [uri]


def _is_glob(uri: str) -> bool:
    return any(wildcard in uri for wildcard in "*?[") and not storage.exists(uri)


def _read_file(uri: str) -> pa.Table:
    """Read one Parquet file, and make its uris absolute."""
    try:
        table = storage.read_table(uri)
        table.validate(full=True)  # Arrow reads text that is not UTF-8 without an error
    except (pa.ArrowException, OSError) as error:  # OSError: a damaged page
        raise ManifestFormatError(f"{storage.redact(uri)}: not a valid Parquet file ({error})") from error
    folder = storage.absolute(uri).rpartition("/")[0]
    for name in URIS:
        index = table.schema.get_field_index(name)
        if index >= 0 and is_text(table.schema.field(index).type):
            uris = [_absolute_uri(value, folder) for value in table[name].to_pylist()]
            table = table.set_column(index, name, pa.array(uris, pa.string()))
    return table


def _absolute_uri(uri: str | None, folder: str) -> str | None:
    if not uri or "://" in uri or "::" in uri or uri.startswith("/"):
        return uri
    return storage.join(folder, uri)


def _listed_row(name: str, uri: str, info: dict[str, Any]) -> dict[str, Any]:
    """Create the manifest row of a file from its fsspec details, whose keys depend on the file system."""
    modified = info.get("LastModified") or info.get("last_modified") or info.get("updated") or info.get("mtime")
    etag = info.get("ETag") or info.get("etag")
    return {
        "photo_id": name,
        "uri": uri,
        "bytes": info["size"],
        "etag": str(etag).strip('"') if etag else None,
        "modified": _as_datetime(modified),
    }


def _as_datetime(modified: datetime | float | str | None) -> datetime | None:
    if isinstance(modified, str):
        return datetime.fromisoformat(modified)
    if isinstance(modified, (int, float)):
        return datetime.fromtimestamp(modified, UTC)
    return modified


def _version(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the columns that identify one version of a listed photo. They change with its content."""
    return row["uri"], row["bytes"], row["etag"], row["modified"]


def _size(
    row: dict[str, Any], known: dict[tuple[Any, ...], tuple[int | None, int | None]]
) -> tuple[int | None, int | None]:
    """Read the width and height of the upright photo from its header, unless its version is known."""
    if _version(row) in known:
        return known[_version(row)]
    fs, path = storage.filesystem(row["uri"])
    try:
        with fs.open(path, "rb", block_size=HEADER_BLOCK) as file, Image.open(file, formats=FORMATS) as image:
            return read_header(image).size
    except (*DECODER_ERRORS, *storage.storage_errors()):
        return None, None


def _typed_column(table: pa.Table, field: pa.Field, source: str) -> pa.ChunkedArray | pa.Array:
    """Cast a known column to its type. Returns nulls if the column is missing."""
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    # Arrow would cast numbers to text. In a text column of a manifest, numbers are an error.
    if is_text(column.type) or not pa.types.is_string(field.type):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return column.cast(field.type)
    raise ColumnTypeError(f"{source}: column {field.name!r} has type {column.type}, not {field.type}")


def _check_column_names(table: pa.Table, source: str) -> None:
    for name, count in Counter(table.column_names).items():
        if count > 1:
            raise DuplicateColumnError(f"{source}: column {name!r} appears {count} times")


def _check_ids(ids: pa.ChunkedArray, source: str) -> None:
    missing = pc.or_kleene(pc.is_null(ids), pc.equal(ids, ""))
    if (row := pc.index(missing, True).as_py()) >= 0:
        raise MissingIdError(f"{source}: row {row} has no photo_id")
    counts = pc.value_counts(ids)
    duplicates = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(duplicates):
        photo_id, rows = duplicates[0].as_py().values()
        raise DuplicateIdError(
            f"{source}: photo_id {photo_id!r} appears in {rows} rows (number of duplicate ids: {len(duplicates)})"
        )
