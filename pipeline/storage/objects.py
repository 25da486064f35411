"""Read, write, list and remove files at any address, with retries and atomic writes."""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import Photo2AnimeError, RunStoppedError, StorageAccessError, StorageError
from pipeline.storage.addresses import filesystem, join, local_path
from pipeline.storage.atomic import put_file, put_new_file
from pipeline.storage.redaction import redact, redact_message
from pipeline.storage.requests import LISTING_SECONDS, request
from pipeline.storage.retry import (
    as_error,
    is_denied,
    lacks_credentials,
    translate_errors,
    with_retries,
)

# Errors of a folder that cannot be created: its bucket does not exist, or one of its parents is a file.
_NO_FOLDER = (FileNotFoundError, NotADirectoryError, FileExistsError)


def read(uri: str) -> bytes:
    """Read the content of a file."""
    with translate_errors(uri):
        return _read(uri)


def _read(uri: str) -> bytes:
    fs, path = filesystem(uri)
    size = 0  # requested only after an attempt that took too long, because most files are small

    def read_once() -> bytes:
        nonlocal size
        try:
            content: bytes = request(fs, "cat_file", path, size=size)
        except TimeoutError:
            size = size or request(fs, "info", path)["size"] or 0
            raise
        return content

    return with_retries(read_once)


def read_if_exists(uri: str) -> bytes | None:
    """Read the content of a file. Returns None if the file does not exist."""
    with translate_errors(uri):
        try:
            return _read(uri)
        except FileNotFoundError:
            return None


def put(uri: str, content: bytes) -> None:
    """Write a file atomically: a local file with a temporary file and a rename, any other file with one request."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        if isinstance(fs, LocalFileSystem):
            with_retries(lambda: put_file(Path(path), content))
        else:
            with_retries(lambda: request(fs, "pipe_file", path, content, size=len(content)))


def put_new(uri: str, content: bytes) -> bool:
    """Write a file atomically, unless the file exists.

    Of several processes that call this at once, one writes the file. Amazon S3, Google Cloud Storage, Azure and local
    file systems guarantee this; a server that ignores the condition of a request replaces the file.

    Returns:
        Whether the file was written. It may be False too if the answer of a storage to the first attempt was lost.
    """
    fs, path = filesystem(uri)
    with translate_errors(uri):
        try:
            if isinstance(fs, LocalFileSystem):
                with_retries(lambda: put_new_file(Path(path), content))
            else:
                with_retries(lambda: request(fs, "pipe_file", path, content, size=len(content), mode="create"))
        except FileExistsError:
            return False
        except (Photo2AnimeError, TimeoutError):  # of a signal, or of a server that would not answer `exists` either
            raise
        except Exception as error:
            if is_denied(error) or not exists(uri):  # Azure and Google report an existing file by other errors
                raise
            return False
    return True


@contextmanager
def write_access_reported(folder: str) -> Iterator[None]:
    """Raise the errors of a folder that cannot be written, or whose parent is not a folder, as `StorageAccessError`."""
    try:
        yield
    except StorageError as error:
        cause = error.__cause__
        if not isinstance(error, StorageAccessError) and not isinstance(cause, _NO_FOLDER):
            raise
        reason = redact_message(f"{type(cause).__name__}: {cause}", folder)
        hint = "Check the address, the permissions of this account, and its credentials."
        raise StorageAccessError(f"{redact(folder)}: cannot be written ({reason})", hint) from cause


def check_writable(folder: str) -> None:
    """Check that files can be written in a folder, by writing an empty file and removing it.

    Raises:
        StorageAccessError: The folder cannot be written.
        StorageError: The storage cannot be reached.
        DiskFullError: The disk is full.
    """
    uri = join(folder, f".{uuid.uuid4().hex}.part")
    with write_access_reported(folder):
        put(uri, b"")
    with suppress(StorageError):  # an account may be allowed to write files, but not to remove them
        remove(uri)


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file. Pages that have a checksum are checked.

    Args:
        uri: The address of the file.
        columns: The columns to read, in this order. Defaults to all columns.

    Raises:
        pa.ArrowException: If the file is not valid Parquet.
        KeyError: If a column is missing.
    """
    return decode_table(read(uri), columns)


def decode_table(content: bytes, columns: list[str] | None = None) -> pa.Table:
    """Decode the content of a Parquet file, and check its pages that have a checksum, as `read_table` does."""
    # The file is decoded in this thread, because an Arrow thread that holds Python objects may abort the process at
    # exit (https://github.com/apache/arrow/issues/34314).
    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False, page_checksum_verification=True)
    table = file.read(columns, use_threads=False)
    return table.select(columns) if columns else table


def put_table(uri: str, table: pa.Table) -> None:
    """Write a table to a Parquet file atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    put(uri, buffer.getvalue())


def names(folder: str) -> list[str]:
    """List the names of the files in a folder, without subfolders, sorted. Empty if the folder does not exist."""
    return sorted(name for name in files(folder, depth=1) if "/" not in name)


def folders(folder: str) -> list[str]:
    """List the names of the subfolders of a folder, sorted. Empty if the folder does not exist."""
    fs, root = filesystem(folder)
    with translate_errors(folder):
        try:
            entries = with_retries(lambda: request(fs, "ls", root, detail=True, seconds=LISTING_SECONDS))
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")


def files(folder: str, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """List the files in a folder and its subfolders.

    Args:
        folder: The address of the folder. It need not exist.
        depth: The number of levels to list. Defaults to all levels.

    Returns:
        The fsspec details of each file (size, etag and others), keyed by its path relative to the folder.
    """
    fs, root = filesystem(folder)
    with translate_errors(folder):
        fs.invalidate_cache()
        details = with_retries(lambda: request(fs, "find", root, maxdepth=depth, detail=True, seconds=LISTING_SECONDS))
    prefix = root.rstrip("/") + "/"
    return {path.removeprefix(prefix): info for path, info in details.items() if path.startswith(prefix)}


def file_names(folder: str) -> list[str]:
    """List the paths of the files in a folder and its subfolders, relative to the folder, which need not exist.

    Links of a local folder are listed as files, and are not followed. For local folders this is many times faster than
    `files`, because no details are read.
    """
    root = local_path(folder)
    if root is None:
        return list(files(folder))
    start = len(str(root)) + 1
    with translate_errors(folder):
        parents = os.walk(root, onerror=_raise_unless_missing)
        return [
            f"{parent}/{name}"[start:]
            for parent, subfolders, names in parents
            for name in [*names, *(each for each in subfolders if Path(parent, each).is_symlink())]
        ]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def exists(uri: str) -> bool:
    """Return whether a file or a folder exists at an address."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        fs.invalidate_cache()
        return bool(with_retries(lambda: request(fs, "exists", path)))


def is_folder(uri: str) -> bool:
    """Return whether a folder exists at an address."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        return Path(path).is_dir()
    with translate_errors(uri):
        fs.invalidate_cache()
        try:
            # `fs.isdir` of S3 would list the folder and keep the entries.
            details = with_retries(lambda: request(fs, "info", path))
        except FileNotFoundError:
            return False
    return bool(details["type"] == "directory")


def is_file(uri: str) -> bool:
    """Return whether a file exists at an address."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        fs.invalidate_cache()
        return bool(with_retries(lambda: request(fs, "isfile", path)))


def remove(uri: str) -> None:
    """Delete a file. Does nothing if the file does not exist."""
    fs, path = filesystem(uri)
    with translate_errors(uri):
        try:
            with_retries(lambda: request(fs, "rm_file", path))
        except FileNotFoundError:
            return


def check_credentials(uri: str) -> None:
    """Check that this machine has credentials for an address. The file at the address need not exist.

    Raises:
        StorageAccessError: If the credentials are missing.
    """
    fs, path = filesystem(uri)
    try:
        request(fs, "info", path)
    except RunStoppedError:  # of a signal
        raise
    except Exception as error:
        if lacks_credentials(error):
            raise as_error(error, uri) from error


def remove_partial_files(folder: str) -> None:
    """Delete the temporary files of killed processes in a local folder, without subfolders."""
    path = local_path(folder)
    if path is None:
        return
    with translate_errors(folder):
        for partial in path.glob(".*.part"):
            partial.unlink(missing_ok=True)
