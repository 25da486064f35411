"""Files that are too large for memory, streamed between this machine and storage: each arrives whole or not at all."""

from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import addresses, retry
from pipeline.storage.atomic import put_stream


def download(uri: str, path: Path) -> None:
    """Copy a file of any storage to this machine. Raises `StorageError`."""
    fs, source = addresses.filesystem(uri)

    def copied() -> None:
        with fs.open(source, "rb") as stream:
            put_stream(path, stream)

    with retry.translate_errors(uri):
        retry.with_retries(copied)


def upload(path: Path, uri: str) -> None:
    """Copy a file of this machine to any storage. Raises `StorageError`."""
    fs, target = addresses.filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        download(str(path), Path(target))
        return
    with retry.translate_errors(uri):
        retry.with_retries(lambda: fs.put_file(str(path), target))
