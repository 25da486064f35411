"""The program knows its version and its commit."""

import re
from pathlib import Path

import pytest

from pipeline import version


def test_version_and_commit() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.project_version())
    commit = version.git_commit()
    if (Path(version.__file__).parent.parent / ".git").exists():
        assert commit is not None
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


def test_an_image_says_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "__file__", str(tmp_path / "pipeline" / "version.py"))
    monkeypatch.setenv("PHOTO2ANIME_COMMIT", "abc")
    assert version.git_commit() == "abc"
