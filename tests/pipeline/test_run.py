"""One call of convert: what is refused leaves nothing behind. The flow's tests have the rest."""

from pathlib import Path

import pytest

from pipeline import run
from pipeline.errors import OutputError, StorageError
from pipeline.execution.progress import RunProgress
from pipeline.run import convert
from schemas.options import Options
from schemas.recipe import Recipe


class Noted(RunProgress):
    """A follower that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, text: str) -> None:
        self.said.append(text)

    def begin(self, pictures: int) -> None:
        self.said.append(f"begin {pictures}")


def test_a_cluster_that_is_not_there_is_refused_before_anything_is_written(
    photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    follower = Noted()
    with pytest.raises(StorageError, match="no Ray at '127.0.0.1:1'") as caught:
        convert(str(photos), str(tmp_path / "out"), recipe, Options(address="127.0.0.1:1"), follower)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    assert not any(text.startswith("begin") for text in follower.said)


@pytest.mark.usefixtures("ray_session")
def test_an_output_that_cannot_be_written_is_refused(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, _content: bytes) -> None:
        message = f"{uri}: no space left"
        raise OutputError(message)

    monkeypatch.setattr(run.storage, "put", full)
    with pytest.raises(OutputError) as caught:
        convert(str(photos), str(tmp_path / "out"), recipe)
    assert caught.value.exit_code == 2
