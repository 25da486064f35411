"""Temporary folders are removed at the end, also those of killed processes."""

import errno
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.errors import DiskFullError
from pipeline.storage.temporary import LOCK, temporary_folder


def test_folders_of_killed_processes_are_removed_and_those_of_active_ones_stay(tmp_path: Path) -> None:
    killed, active, other = (tmp_path / f"x-{name}" for name in ("killed", "active", "other"))
    for folder in (killed, active, other):
        folder.mkdir()
    (killed / LOCK).touch()
    os.utime(killed, (0, 0))
    with FileLock(active / LOCK), temporary_folder("x-", str(tmp_path)) as own:
        assert sorted(tmp_path.iterdir()) == sorted([active, other, own])
        assert own.stat().st_mode & 0o077 == 0  # other users cannot read it
    assert not own.exists()


def test_old_folders_without_a_lock_are_removed_and_all_others_stay(tmp_path: Path) -> None:
    old, new, public, named = (tmp_path / name for name in ("x-abcdef01", "x-abcdef02", "x-abcdef03", "x-photos"))
    for folder in (old, new, public, named):
        folder.mkdir(0o755 if folder == public else 0o700)
        (folder / "file").touch()
    (tmp_path / "x-abcdef04").symlink_to(public)
    yesterday = time.time() - 25 * 3600
    for folder in (old, public, named):
        os.utime(folder, (yesterday, yesterday))
    with temporary_folder("x-", str(tmp_path)) as own:
        assert sorted(tmp_path.iterdir()) == sorted([new, public, named, tmp_path / "x-abcdef04", own])


def open_folders(place: str, count: int) -> int:
    """Open and close temporary folders. Returns the number that existed while they were open."""
    existed = 0
    for _ in range(count):
        with temporary_folder("x-", place) as folder:
            existed += (folder / LOCK).exists()
    return existed


def test_a_new_folder_is_not_removed_by_another_process(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as processes:
        assert sum(processes.map(open_folders, [str(tmp_path)] * 4, [200] * 4)) == 800


def test_the_folder_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder("x-", str(tmp_path)):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_folder_that_does_not_fit_on_the_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(**_options: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    expected = OSError if number == errno.EACCES else DiskFullError
    with pytest.raises(expected), temporary_folder("x-", str(tmp_path)):
        pass
