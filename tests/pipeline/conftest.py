"""A hub for the tests of what is loaded from one."""

from pathlib import Path

import pytest


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a hub's cache with the models of sd15-anime, tiny ones."""
    from tests.hub import write_anime

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    write_anime(tmp_path / "hub")
    return tmp_path / "hub"
