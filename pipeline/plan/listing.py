"""Create a manifest by listing a folder of photos, in memory that does not grow with their number.

1. The files are listed in pages, and their rows are written to a temporary Parquet file.
2. DuckDB finds the photos whose size is not known from an earlier manifest or from an interrupted listing.
3. Their headers are read in chunks. Each finished chunk is stored as a part, so that a later call does not read it.
4. DuckDB joins the rows and the sizes, and sorts them by `photo_id`. The manifest is written with one atomic put.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import NoPhotosError, StorageError
from pipeline.images.formats import EXTENSIONS
from pipeline.plan.headers import SIZES, VERSION, HeaderReader, ThreadedReader
from pipeline.storage.database import DEFAULT_MEMORY, Database, literal, open_database, sql_type
from pipeline.storage.entries import Entry, Page
from pipeline.storage.transfer import download, upload
from pipeline.storage.walk import walk_files
from schemas.manifest import KNOWN

LOGGER = logging.getLogger("photo2anime.listing")

ROWS_IN_MEMORY = 10_000  # listed rows that are written together
PART = "headers-"  # prefix of the names of parts
_LISTED = pa.schema([KNOWN.field(name) for name in ("photo_id", "uri", "width", "height", "bytes", "etag", "modified")])
_FILES = pa.schema([field for field in _LISTED if field.name not in {"width", "height"}])
_SAME_VERSION = " AND ".join(f"known.{name} IS NOT DISTINCT FROM listed.{name}" for name in VERSION)

Walk: TypeAlias = Callable[[str, str], Iterator[Page]]
"""Lists the files of a folder in pages, without one subfolder, as `walk_files` does."""

ListingProgress: TypeAlias = Callable[[int, int], None]
"""A callback with the number of photos whose size is known, and the number of photos that have been listed."""


@dataclass(frozen=True)
class ListingOptions:
    """The options of a listing.

    Attributes:
        reader: Reads the headers. None leaves the sizes out.
        skip: The address of a subfolder that is not listed, such as the output of the run. Empty for none.
        known: The address of an earlier manifest of the folder. The sizes of unchanged photos are taken from it.
        parts: The address of a folder for the finished chunks. It is removed at the end. Empty for a temporary folder.
        memory: The largest amount of memory that DuckDB uses.
        walk: Lists the files of a folder.
    """

    reader: HeaderReader | None = None
    skip: str = ""
    known: str = ""
    parts: str = ""
    memory: str = DEFAULT_MEMORY
    walk: Walk = walk_files


@dataclass(frozen=True)
class Listing:
    """The numbers of a listing.

    Attributes:
        photos: The number of photos.
        sizes: The number of photos with a width and a height.
    """

    photos: int
    sizes: int


def list_photos(folder: str) -> pa.Table:
    """Create a manifest of the photos below a folder in memory, for folders of few photos."""
    with tempfile.TemporaryDirectory() as temporary:
        path = str(Path(temporary) / "photos.parquet")
        write_listing(folder, path, ListingOptions(ThreadedReader()))
        return storage.read_table(path).cast(_LISTED)


def write_listing(
    folder: str, target: str, options: ListingOptions, progress: ListingProgress | None = None
) -> Listing:
    """Write a manifest of the photos below a folder. Reads only the headers of the photos.

    A photo with an invalid header is listed without a size, so that the run can record why it failed.

    Args:
        folder: The address of the folder.
        target: The address of the manifest.
        options: The options.
        progress: A callback for the progress of the listing.

    Raises:
        NoPhotosError: The folder has no photos.
        StorageError: The folder or a subfolder cannot be listed, or the manifest cannot be written.
    """
    report = progress or (lambda _done, _photos: None)
    if storage.is_file(folder):
        raise NoPhotosError(f"{storage.redact(folder)}: a file, not a folder", "Name the folder of the photos.")
    with open_database(options.memory) as database:
        photos = _write_rows(folder, options, database.folder / "listed.parquet", report)
        if not photos:
            reason = f"no photos found (extensions: {', '.join(EXTENSIONS)})" if storage.exists(folder) else "not found"
            raise NoPhotosError(f"{storage.redact(folder)}: {reason}")
        _create_tables(database)
        parts = options.parts or str(database.folder / "parts")
        if options.reader:
            _load_known_sizes(database, options.known, parts)
            _read_missing(database, options.reader, parts, lambda done: report(done, photos))
        sizes = _write_manifest(database, target)
        _remove_parts(parts)
    return Listing(photos, sizes)


def _write_rows(folder: str, options: ListingOptions, path: Path, report: ListingProgress) -> int:
    """Write the rows of all photos, without sizes, to a Parquet file, in the order of the pages. Returns the number."""
    rows, written = list[dict[str, Any]](), 0
    with storage.translate_errors(str(path)), pq.ParquetWriter(path, _FILES) as file:
        for page in _photo_pages(folder, options):
            rows += page
            if len(rows) >= ROWS_IN_MEMORY:
                file.write_table(pa.Table.from_pylist(rows, _FILES))
                written, rows = written + len(rows), []
                report(0, written)
        file.write_table(pa.Table.from_pylist(rows, _FILES))
    return written + len(rows)


def _photo_pages(folder: str, options: ListingOptions) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of the photos in each page. Logs how many photos have names that addresses cannot contain."""
    address, is_local = storage.absolute(folder), storage.local_path(folder) is not None
    invalid, first = 0, ""
    for page in options.walk(folder, _path_below(folder, options.skip)):
        photos = [entry for entry in page if entry.name.lower().endswith(EXTENSIONS)]
        valid = [entry for entry in photos if _is_addressable(entry.name, is_local=is_local)]
        if len(valid) < len(photos):
            invalid += len(photos) - len(valid)
            first = first or next(entry.name for entry in photos if entry not in valid)
        yield [_listed_row(entry, storage.join(address, entry.name)) for entry in valid]
    if invalid:
        text = "%s: left out %d photo(s) whose names are not valid Unicode or contain '::', such as %s"
        LOGGER.warning(text, storage.redact(folder), invalid, storage.escape(first))


def _is_addressable(name: str, *, is_local: bool) -> bool:
    """Return whether a manifest can contain the address of a file. fsspec reads `::` as a chain of addresses."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return is_local or "::" not in name


def _path_below(folder: str, subfolder: str) -> str:
    """Return the path of a subfolder relative to a folder. Empty if it is not in the folder."""
    if not subfolder:
        return ""
    root, inner = (storage.resolved(uri) for uri in (folder, subfolder))
    prefix = storage.join(root, "")
    return inner.removeprefix(prefix) if inner.startswith(prefix) else ""


def _listed_row(entry: Entry, uri: str) -> dict[str, Any]:
    return {
        "photo_id": entry.name,
        "uri": uri,
        "bytes": entry.size,
        "etag": entry.etag,
        "modified": entry.modified,
    }


def _create_tables(database: Database) -> None:
    """Create the view `listed` of the listed photos, and the empty table `known` of the sizes that are known."""
    photos = database.parquet([str(database.folder / "listed.parquet")])
    database.run(f"CREATE VIEW listed AS SELECT * FROM {photos}")
    database.run(f"CREATE TABLE known ({', '.join(f'{field.name} {sql_type(field.type)}' for field in SIZES)})")


def _load_known_sizes(database: Database, manifest: str, parts: str) -> None:
    """Load the sizes of an earlier manifest and of an interrupted listing. Missing and damaged files are ignored.

    Photos without a size are not known, so that their headers are read again: storage may have failed temporarily.
    """
    files = [storage.join(parts, name) for name in storage.names(parts) if name.startswith(PART)]
    for number, uri in enumerate([*files, *([manifest] if manifest else [])]):
        path = database.folder / f"known-{number}.parquet"
        try:
            download(uri, path)
            _add_sizes(database, database.parquet([str(path)]))
        except (duckdb.Error, StorageError) as error:
            LOGGER.debug("%s: the headers are read again (%s)", storage.redact(uri), type(error).__name__)
        path.unlink(missing_ok=True)


def _add_sizes(database: Database, relation: str) -> None:
    database.run(f"INSERT INTO known SELECT {', '.join(SIZES.names)} FROM {relation} WHERE width IS NOT NULL")


def _read_missing(database: Database, reader: HeaderReader, parts: str, report: Callable[[int], None]) -> None:
    """Read the headers of the photos whose size is not known, and store each chunk when it is finished."""
    path = database.folder / "missing.parquet"
    missing = f"SELECT {', '.join(VERSION)} FROM listed ANTI JOIN known ON {_SAME_VERSION} ORDER BY photo_id"
    database.run(f"COPY ({missing}) TO {literal(str(path))} (FORMAT parquet)")
    with pq.ParquetFile(path) as file:
        (photos,) = database.row("SELECT count(*) FROM listed")
        done = photos - file.metadata.num_rows
        report(done)
        batches = file.iter_batches(batch_size=reader.photos, use_threads=False)
        # After an error, the reader is closed at once, so that Ray cancels its tasks while it is connected.
        with closing(reader(pa.Table.from_batches([batch]) for batch in batches)) as finished:
            for sizes in finished:
                storage.put_table(storage.join(parts, _part_name(sizes)), sizes)
                database.connection.register("part", sizes)
                _add_sizes(database, "part")
                database.connection.unregister("part")
                done += sizes.num_rows
                report(done)


def _part_name(sizes: pa.Table) -> str:
    """Return the name of a part, which depends on the versions of its photos only."""
    versions = repr(sizes.select(VERSION).to_pylist())
    return f"{PART}{hashlib.sha256(versions.encode()).hexdigest()[:32]}.parquet"


def _write_manifest(database: Database, target: str) -> int:
    """Write the manifest, sorted by `photo_id`. Returns the number of photos with a size."""
    unique = f"SELECT {', '.join(VERSION)}, first(width) AS width, first(height) AS height FROM known GROUP BY ALL"
    columns = ", ".join(f"known.{name}" if name in {"width", "height"} else f"listed.{name}" for name in _LISTED.names)
    rows = f"SELECT {columns} FROM listed LEFT JOIN ({unique}) known ON {_SAME_VERSION} ORDER BY listed.photo_id"
    path = database.folder / "manifest.parquet"
    database.run(f"COPY ({rows}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    upload(path, target)
    return int(database.row(f"SELECT count(width) FROM {database.parquet([str(path)])}")[0])


def _remove_parts(parts: str) -> None:
    """Delete the parts, and the local folder of them if it has no other files."""
    with suppress(StorageError):  # the manifest is written, and parts that are left do no harm
        for name in storage.names(parts):
            if name.startswith(PART):
                storage.remove(storage.join(parts, name))
        storage.remove_partial_files(parts)
    folder = storage.local_path(parts)
    if folder is not None:
        with suppress(OSError):
            folder.rmdir()
