"""Write local files atomically and durably."""

import errno
import fcntl
import io
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 2**20  # bytes of a stream that are in memory at once; malloc keeps larger blocks after they are freed
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # of file systems without hard links


def put_file(path: Path, content: bytes) -> None:
    """Write bytes to a local file atomically: write a temporary file in the same folder, then rename it.

    Creates the folder if it is missing, and replaces an existing file.
    """
    put_stream(path, io.BytesIO(content))


def put_new_file(path: Path, content: bytes) -> None:
    """Write bytes to a local file atomically, unless the file exists. Creates the folder if it is missing.

    Raises:
        FileExistsError: If the file exists.
        BlockingIOError: If another process removed the temporary file. The write can be repeated.
    """
    _put(path, lambda partial: _write(partial, io.BytesIO(content)), _link)


def put_stream(path: Path, content: BinaryIO) -> None:
    """Write a stream to a local file atomically, as `put_file` does. The stream may be larger than the memory.

    Raises:
        BlockingIOError: If another process removed the temporary file. The write can be repeated from the start.
    """
    put_written(path, lambda partial: _write(partial, content))


def put_written(path: Path, write: Callable[[Path], None]) -> None:
    """Write a local file atomically, as `put_file` does, with a function that writes a file at a temporary path.

    Raises:
        BlockingIOError: If another process removed the temporary file. The write can be repeated from the start.
    """
    _put(path, write, Path.replace)


def _put(path: Path, write: Callable[[Path], None], place: Callable[[Path, Path], object]) -> None:
    """Write a file at a temporary path, flush it to disk, and give it its name with `place`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        write(partial)
        try:
            _sync(partial)
            place(partial, path)
        except FileNotFoundError as error:
            # Another run on the same output called `remove_partial_files`. `with_retries` repeats the write after a
            # BlockingIOError, but not after a FileNotFoundError.
            raise BlockingIOError(f"{path}: another process removed the temporary file") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def _write(path: Path, content: BinaryIO) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, CHUNK_BYTES)


def _link(partial: Path, path: Path) -> None:
    """Give a temporary file a second name, which does not replace a file, unlike a rename."""
    try:
        path.hardlink_to(partial)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_new(partial, path)


def _rename_new(partial: Path, path: Path) -> None:
    """Rename a temporary file, unless the new name exists. Other processes that do this wait for a lock of the folder.

    Raises:
        FileExistsError: The new name exists.
    """
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        partial.replace(path)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    """Flush a file to disk, or a folder, so that a rename in it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
