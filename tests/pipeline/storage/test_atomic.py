"""One local file, whole or not at all."""

from pathlib import Path

import pytest

from pipeline.storage.atomic import put_file


def test_a_file_is_written_with_its_folder_and_over_an_older_one(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        put_file(tmp_path / "a" / "b.txt", content)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_what_cannot_be_written_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file(tmp_path / "b.txt", b"old")

    def fail(_handle: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("pipeline.storage.atomic.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        put_file(tmp_path / "b.txt", b"new")
    assert (tmp_path / "b.txt").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
