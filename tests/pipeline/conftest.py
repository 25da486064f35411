"""Fixtures of the pipeline's tests."""

from pathlib import Path

import pytest


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache of a hub with tiny models in place of those of sd15-anime."""
    from tests.hub import write_anime

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    write_anime(tmp_path / "hub")
    return tmp_path / "hub"
