"""A run that is refused writes nothing. `tests/test_flow.py` tests whole runs."""

from pathlib import Path

import pytest

from pipeline import run
from pipeline.errors import ClusterError, OutputError
from pipeline.run import convert
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import RecordedProgress, convert_locally


def test_an_unavailable_cluster_is_refused_before_anything_is_written(
    photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    progress = RecordedProgress()
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1") as caught:
        convert(str(photos), str(tmp_path / "out"), recipe, Options(address="127.0.0.1:1"), progress)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    assert not progress.begun


def test_an_output_that_cannot_be_written_is_refused(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, _content: bytes) -> None:
        raise OutputError(f"{uri}: no space left")

    monkeypatch.setattr(run.storage, "put", full)
    with pytest.raises(OutputError) as caught:
        convert_locally(str(photos), str(tmp_path / "out"), recipe)
    assert caught.value.exit_code == 2
