"""Create temporary folders, and remove those of killed processes, which may contain gigabytes."""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    with FileLock(folder / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
