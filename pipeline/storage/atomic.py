"""Write local files atomically and durably."""

import io
import os
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 2**24  # how much of a stream is held in memory at once


def put_file(path: Path, content: bytes) -> None:
    """Write a local file atomically: write a temporary file to the same folder, then rename it.

    Creates the folder if it is missing, and replaces an existing file.
    """
    put_stream(path, io.BytesIO(content))


def put_stream(path: Path, content: BinaryIO) -> None:
    """Write a local file atomically from a stream, which may be larger than the memory.

    Raises:
        BlockingIOError: If another process removed the temporary file. The write can be retried.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with partial.open("wb") as file:
            shutil.copyfileobj(content, file, CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except FileNotFoundError as error:
        # Another run on the same output called remove_partial_files. Unlike FileNotFoundError, this error is transient.
        raise BlockingIOError(f"{path}: another process removed the temporary file") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
