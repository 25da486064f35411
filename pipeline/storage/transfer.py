"""Copy large files between this machine and storage, and hash them, in chunks. Each copy is atomic."""

import hashlib
from pathlib import Path

from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import addresses, retry
from pipeline.storage.atomic import put_stream, put_written
from pipeline.storage.requests import request


def download(uri: str, path: Path) -> None:
    """Copy a file from any address to a local path. Raises `StorageError` or `DiskFullError`."""
    fs, source = addresses.filesystem(uri)

    def copy() -> None:
        fs.invalidate_cache()
        size = None if addresses.is_web_address(uri) else request(fs, "info", source)["size"]
        if size is None or not isinstance(fs, AsyncFileSystem):
            with fs.open(source, "rb") as stream:
                put_stream(path, stream)
        else:  # a stream would have no time limit
            put_written(path, lambda partial: request(fs, "get_file", source, str(partial), size=size))
        received = path.stat().st_size
        if size not in {None, received}:  # some libraries end a stream early after an error
            path.unlink()
            raise OSError(f"{received} of {size} bytes were received")

    with retry.translate_errors(uri):
        retry.with_retries(copy)


def upload(path: Path, uri: str) -> None:
    """Copy a local file to any address. Raises `StorageError` or `DiskFullError`."""
    fs, target = addresses.filesystem(uri)

    def copy() -> None:
        if isinstance(fs, LocalFileSystem):
            with path.open("rb") as stream:
                put_stream(Path(target), stream)
        else:
            request(fs, "put_file", str(path), target, size=path.stat().st_size)

    with retry.translate_errors(uri):
        retry.with_retries(copy)


def file_digest(uri: str) -> str:
    """Return the SHA-256 of the content of a file at any address, as hex digits. Raises `StorageError`."""
    fs, path = addresses.filesystem(uri)

    def digest() -> str:
        with fs.open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    with retry.translate_errors(uri):
        return retry.with_retries(digest)
