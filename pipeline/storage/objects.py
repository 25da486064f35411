"""Every read and write of the project: fsspec addresses, one atomic put, retries, and no secret in a message.

Knows nothing of photos. A local path is an address too. Errors of the cloud libraries leave this file as
`StorageError`; `with_retries` alone lets them through, for the step that records them per photo.
"""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.addresses import filesystem, local_path
from pipeline.storage.atomic import put_file
from pipeline.storage.retry import _lacks_credentials, as_error, storage_errors, translate_errors, with_retries


def read(uri: str) -> bytes:
    """Return the content of a file."""
    with translate_errors(uri):
        return with_retries(lambda: read_once(uri))


def read_once(uri: str) -> bytes:
    """Return the content of a file in one try, with the storage library's own errors."""
    fs, path = filesystem(uri)
    content: bytes = fs.cat_file(path)
    return content


def read_if_exists(uri: str) -> bytes | None:
    """Return the content of a file; None where there is no such file."""
    with translate_errors(uri):
        try:
            return with_retries(lambda: read_once(uri))
        except FileNotFoundError:
            return None


def put(uri: str, content: bytes) -> None:
    """Write a file whole or not at all: locally by a temporary file and a rename, elsewhere by one PUT."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        if isinstance(fs, LocalFileSystem):
            with_retries(lambda: put_file(Path(path), content))
        else:
            with_retries(lambda: fs.pipe_file(path, content))


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file as a table, or these of its columns in this order.

    pyarrow's errors are the caller's, who knows what the file should be, and so is the `KeyError` of a column.
    """
    # Of Arrow's own memory, in this thread, and not by its datasets: other threads that hold Python's objects abort a
    # process that ends (https://github.com/apache/arrow/issues/34314), on a busy machine every fifth.
    table = pq.ParquetFile(pa.BufferReader(read(uri)), pre_buffer=False).read(columns, use_threads=False)
    return table.select(columns) if columns else table


def put_table(uri: str, table: pa.Table) -> None:
    """Put a table as one Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    put(uri, buffer.getvalue())


def names(folder: str) -> list[str]:
    """Return the sorted names of the files directly in `folder`; none where there is no such folder."""
    return sorted(name for name in files(folder, depth=1) if "/" not in name)


def files(folder: str, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """Return the files below `folder`: their path relative to it, and what fsspec knows of each (size, etag, …)."""
    fs, root = filesystem(folder)
    with translate_errors(folder):
        fs.invalidate_cache()
        found = with_retries(lambda: fs.find(root, maxdepth=depth, detail=True))
    prefix = root.rstrip("/") + "/"
    return {path.removeprefix(prefix): info for path, info in found.items() if path.startswith(prefix)}


def exists(uri: str) -> bool:
    """Tell whether there is a file or a folder at `uri`."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        fs.invalidate_cache()
        return bool(with_retries(lambda: fs.exists(path)))


def is_folder(uri: str) -> bool:
    """Tell whether `uri` is a folder."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        fs.invalidate_cache()
        return bool(with_retries(lambda: fs.isdir(path)))


def remove(uri: str) -> None:
    """Delete one file; it is no error where there is none."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        try:
            with_retries(lambda: fs.rm_file(path))
        except FileNotFoundError:
            return


def check_credentials(uri: str) -> None:
    """Raise `StorageError` where the account's credentials for `uri` are missing; the file itself may be missing."""
    fs, path = filesystem(uri)
    try:
        fs.info(path)
    except storage_errors() as error:
        if _lacks_credentials(error):
            raise as_error(error, uri) from error


def remove_partial_files(folder: str) -> None:
    """Remove what a process that was killed left half written directly in a local folder."""
    path = local_path(folder)
    if path is not None:
        for stale in path.glob(".*.part"):
            stale.unlink(missing_ok=True)
