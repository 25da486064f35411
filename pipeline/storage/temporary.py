"""Create temporary folders, and remove those of killed processes, which may contain gigabytes."""

import errno
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import DiskFullError

LOGGER = logging.getLogger("photo2anime.storage")

NEW_SECONDS = 60  # younger folders are kept, because their process may not have locked them yet
LOCK = "run.lock"  # a file in each temporary folder, which is locked while its process is alive


@contextmanager
def temporary_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Create a temporary folder that only this user can read, and remove it at the end.

    Args:
        prefix: The start of its name. Folders of killed processes with this prefix are removed.
        parent: The folder to create it in. Defaults to that of `tempfile`.
    """
    place = Path(parent or tempfile.gettempdir())
    for stale in place.glob(f"{prefix}*/{LOCK}"):
        try:
            if time.time() - stale.parent.stat().st_mtime < NEW_SECONDS:
                continue
            with FileLock(stale, timeout=0):
                shutil.rmtree(stale.parent, ignore_errors=True)
                LOGGER.debug("removed the temporary folder of a killed process: %s", stale.parent)
        except (Timeout, OSError):
            continue  # its process is alive, or it belongs to another user, or another process removes it
    with full_disk_reported(place):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    with FileLock(folder / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def full_disk_reported(place: Path | None = None) -> Iterator[None]:
    """Raise the error of a full disk as `DiskFullError`, where a temporary file is written.

    Args:
        place: The folder of the file. Defaults to that of `tempfile`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"{place or tempfile.gettempdir()}: no space left for temporary files"
        raise DiskFullError(message, "Free some space, or set TMPDIR.") from error
