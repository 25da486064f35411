"""Manifests: read from Parquet, or made by listing a folder of pictures."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline import storage
from pipeline.decode import header_of
from pipeline.faults import ManifestFault
from pipeline.formats import BROKEN, EXTENSIONS, FORMATS
from schemas.manifest import KNOWN, URIS, check_manifest, is_text
from schemas.work import Row

READERS = 16  # threads: a header is a wait for the network, not work
HEADER_BLOCK = 64 * 1024  # bytes per read of a header: most hold size and EXIF in one
_LISTED = pa.schema([KNOWN.field(name) for name in ("photo_id", "uri", "width", "height", "bytes", "etag", "modified")])

Progress = Callable[[int, int], None]
"""Called with how many photos are done, and of how many."""


def read_manifest(uri: str) -> pa.Table:
    """Return the checked manifest in one Parquet file, a folder of them, or the files that a glob names.

    Relative uris in it become absolute, from the folder of the file they stand in. Raises `ManifestFault`.
    """
    found = _parquet_files(uri)
    if not found:
        message = f"{storage.redact(uri)}: no Parquet file there"
        raise ManifestFault(message, "Name a manifest, a glob, a folder of manifests or a folder of pictures.")
    tables = [_read_file(file) for file in found]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        message = f"{storage.redact(uri)}: the files' columns do not agree ({error})"
        raise ManifestFault(message, "Write them with one schema.") from error
    return check_manifest(whole, storage.redact(uri))


def holds_pictures(uri: str) -> bool:
    """Tell whether `uri` is a folder without Parquet files, to be listed as pictures."""
    return not _is_glob(uri) and storage.is_folder(uri) and not _parquet_files(uri)


def list_photos(
    folder: str, progress: Progress | None = None, *, skip: str = "", known: pa.Table | None = None
) -> pa.Table:
    """Return a manifest of the pictures below `folder`: headers are read, pixels are not.

    Nothing below `skip` is listed. Sizes of photos that stand unchanged in the manifest `known` are taken from there.
    A picture whose header cannot be read is listed without a size, so that the run can record why it failed.
    Raises `ManifestFault` where there is no picture.
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
        raise ManifestFault(message, "Check the address.")
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
        raise ManifestFault(message, "A manifest is Parquet with the columns photo_id and uri.") from error
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
        with storage.translated(uri):
            found = [name for name in sorted(fs.glob(path)) if name.endswith(".parquet")]
        return [storage.absolute(fs.unstrip_protocol(name)) for name in found]
    if not storage.is_folder(uri):
        if not storage.exists(uri):
            message = f"{storage.redact(uri)}: not found"
            raise ManifestFault(message, "Check the address.")
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
            return header_of(image).size
    except (*BROKEN, *storage.errors()):
        return None, None
