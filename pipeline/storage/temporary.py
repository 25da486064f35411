"""Create temporary folders, and remove those of killed processes, which may contain gigabytes."""

import errno
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import DiskFullError

LOGGER = logging.getLogger("photo2anime.storage")

NEW_SECONDS = 60  # younger folders are kept, because their process may not have locked them yet
UNLOCKED_SECONDS = 24 * 3600  # the same for folders without a lock, whose process was killed before it locked them
RANDOM_NAME = r"[a-z0-9_]{8}"  # the end of the name of each folder that `tempfile.mkdtemp` creates
LOCK = "run.lock"  # a file in each temporary folder, which is locked while its process is alive


@contextmanager
def temporary_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Create a temporary folder that only this user can read, and remove it at the end.

    Args:
        prefix: The start of its name. Folders of killed processes with this prefix are removed.
        parent: The folder to create it in. Defaults to that of `tempfile`.
    """
    place = Path(parent or tempfile.gettempdir())
    for folder in place.glob(f"{prefix}*"):
        try:
            _remove_stale(folder, prefix)
        except (Timeout, OSError):
            continue  # its process is alive, or it belongs to another user, or another process removes it
    with full_disk_reported(place):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    with FileLock(folder / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(folder: Path, prefix: str) -> None:
    """Remove a folder if its process was killed. Raises `Timeout` if the process is alive."""
    age = time.time() - folder.stat().st_mtime
    if age < NEW_SECONDS:
        return
    if (folder / LOCK).exists():
        with FileLock(folder / LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    elif age < UNLOCKED_SECONDS or not _is_own_folder(folder, prefix):
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    LOGGER.debug("removed the temporary folder of a killed process: %s", folder)


def _is_own_folder(folder: Path, prefix: str) -> bool:
    """Return whether `tempfile.mkdtemp` created a folder for this user: by its name, its owner and its permissions."""
    details = folder.lstat()
    is_private = stat.S_ISDIR(details.st_mode) and stat.S_IMODE(details.st_mode) == stat.S_IRWXU
    has_name = re.fullmatch(f"{re.escape(prefix)}{RANDOM_NAME}", folder.name) is not None
    return is_private and has_name and details.st_uid == os.getuid()


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
