"""One local file, written whole or not at all, and there for good once it is."""

import io
import os
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO

AT_ONCE = 2**24  # bytes of a stream that are held in memory


def put_file(path: Path, content: bytes) -> None:
    """Write a file by a temporary one beside it and a rename, its folder made where it is missing."""
    put_stream(path, io.BytesIO(content))


def put_stream(path: Path, content: BinaryIO) -> None:
    """Write a file as `put_file` does, from a stream that need not fit into memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with part.open("wb") as file:
            shutil.copyfileobj(content, file, AT_ONCE)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except FileNotFoundError as error:  # swept away by another run on the same output: once more
        message = f"{path}: another process removed what was being written"
        raise BlockingIOError(message) from error
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
