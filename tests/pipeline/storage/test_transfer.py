"""Copies of large files between this machine and storage."""

import hashlib
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import StorageError, StorageNotFoundError
from pipeline.storage.transfer import download, file_digest, upload

CONTENT = bytes(range(256)) * 100_000  # larger than one chunk of a copy


@pytest.fixture(params=["local", "memory", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket')}/transfer"
    return str(tmp_path / "nested" / "folder") if request.param == "local" else "memory://transfer"


def test_an_uploaded_file_is_downloaded_unchanged(folder: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT)
    upload(tmp_path / "weights", storage.join(folder, "a", "weights"))
    assert storage.names(storage.join(folder, "a")) == ["weights"]
    download(storage.join(folder, "a", "weights"), tmp_path / "copy" / "weights")
    assert (tmp_path / "copy" / "weights").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["weights"]


def test_a_file_is_hashed_where_it_is(folder: str) -> None:
    storage.put(storage.join(folder, "hashed"), CONTENT)
    assert file_digest(storage.join(folder, "hashed")) == hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(StorageNotFoundError):
        file_digest(storage.join(folder, "none"))


def test_download_of_a_missing_file_creates_no_file(folder: str, tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError):
        download(storage.join(folder, "none"), tmp_path / "copy" / "none")
    assert not (tmp_path / "copy" / "none").exists()


@pytest.mark.parametrize("place", ["/proc/photo2anime/result", "{0}/file/result"])
def test_an_error_of_an_upload_names_the_target(tmp_path: Path, place: str) -> None:
    source, target = tmp_path / "source", place.format(tmp_path)
    source.write_bytes(b"content")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        upload(source, target)
    assert str(caught.value).startswith(f"{target}: ")
