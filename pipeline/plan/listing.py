"""Create a manifest by listing a folder of photos."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline import storage
from pipeline.errors import NoPhotosError
from pipeline.images.formats import DECODER_ERRORS, EXTENSIONS, FORMATS
from pipeline.images.photo import read_header
from schemas.manifest import KNOWN

READERS = 16  # threads; reading a header mostly waits for the network
HEADER_BLOCK = 64 * 1024  # bytes per read; most photos have their size and EXIF data in the first block
_LISTED = pa.schema([KNOWN.field(name) for name in ("photo_id", "uri", "width", "height", "bytes", "etag", "modified")])

ListingProgress = Callable[[int, int], None]
"""A callback with the number of finished photos and the number of all photos."""


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
