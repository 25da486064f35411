"""Atomic writes of local files."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.storage.atomic import put_file, put_new_file


def test_put_file_creates_the_folder_and_replaces_an_existing_file(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        put_file(tmp_path / "a" / "b.txt", content)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failed_write_keeps_the_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file(tmp_path / "b.txt", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("pipeline.storage.atomic.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        put_file(tmp_path / "b.txt", b"new")
    assert (tmp_path / "b.txt").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_file_never_replaces_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_new_file(tmp_path / "a" / "linked", b"first")

    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(Path, "hardlink_to", fail)  # as on file systems without hard links
    put_new_file(tmp_path / "a" / "copied", b"first")
    with pytest.raises(FileExistsError):
        put_new_file(tmp_path / "a" / "copied", b"second")
    monkeypatch.undo()
    for name in ("linked", "copied"):
        with pytest.raises(FileExistsError):
            put_new_file(tmp_path / "a" / name, b"second")
        assert (tmp_path / "a" / name).read_bytes() == b"first"
    assert len(list((tmp_path / "a").iterdir())) == 2


@pytest.mark.parametrize("put", [put_file, put_new_file])
def test_a_write_whose_temporary_file_was_removed_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, bytes], None]
) -> None:
    write = shutil.copyfileobj

    def write_and_remove(source: BinaryIO, target: BinaryIO, size: int) -> None:
        write(source, target, size)
        Path(target.name).unlink()

    monkeypatch.setattr(shutil, "copyfileobj", write_and_remove)
    with pytest.raises(BlockingIOError):
        put(tmp_path / "record", b"content")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_of_a_new_file_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "hardlink_to", without_links)
    monkeypatch.setattr(Path, "replace", end)  # the process ends before the rename
    with pytest.raises(KeyboardInterrupt):
        put_new_file(tmp_path / "record", b"content")
    assert not (tmp_path / "record").exists()
