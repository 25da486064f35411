"""Large files: streamed, whole or not at all, to and from this machine."""

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage.transfer import download, upload

CONTENT = bytes(range(256)) * 100_000  # more than is held in memory at once


@pytest.fixture(params=["local", "memory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket')}/transfer"
    return str(tmp_path / "deep" / "there") if request.param == "local" else "memory://transfer"


def test_there_and_back(place: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT)
    upload(tmp_path / "weights", storage.join(place, "a", "weights"))
    assert storage.names(storage.join(place, "a")) == ["weights"]
    download(storage.join(place, "a", "weights"), tmp_path / "back" / "weights")
    assert (tmp_path / "back" / "weights").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["weights"]


def test_what_is_not_there_leaves_nothing(place: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not found"):
        download(storage.join(place, "none"), tmp_path / "back" / "none")
    assert not (tmp_path / "back" / "none").exists()
