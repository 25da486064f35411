"""Tiny models of both families, written once for a process."""

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return by family the folder of a base and three nets."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("sd", "sdxl")}
    tiny.write_sd(folders["sd"] / "base")
    tiny.write_sdxl(folders["sdxl"] / "base")
    for folder in folders.values():
        for number in range(3):
            tiny.write_net(folder / "base", folder / f"net-{number}", seed=number)
    return folders


@pytest.fixture(scope="session")
def sd(families: dict[str, Path]) -> Path:
    """Return the folder of Stable Diffusion 1.5's kind."""
    return families["sd"]
