"""A run that is refused writes nothing. `tests/test_flow.py` tests whole runs."""

from pathlib import Path

import pytest

from pipeline import run
from pipeline.errors import OutputError, RunError
from pipeline.execution.progress import RunProgress
from pipeline.run import convert
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import convert_locally


class Noted(RunProgress):
    """A follower that records the notices of a run."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)

    def begin(self, pictures: int) -> None:  # noqa: ARG002 - only that the work begins
        self.texts.append("begin")


def test_an_unavailable_cluster_is_refused_before_anything_is_written(
    photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    follower = Noted()
    with pytest.raises(RunError, match=r"127\.0\.0\.1:1") as caught:
        convert(str(photos), str(tmp_path / "out"), recipe, Options(address="127.0.0.1:1"), follower)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    assert "begin" not in follower.texts


def test_an_output_that_cannot_be_written_is_refused(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, _content: bytes) -> None:
        raise OutputError(f"{uri}: no space left")

    monkeypatch.setattr(run.storage, "put", full)
    with pytest.raises(OutputError) as caught:
        convert_locally(str(photos), str(tmp_path / "out"), recipe)
    assert caught.value.exit_code == 2
