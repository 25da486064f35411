"""Prints the table of all disturbances at the end of `make torture`."""

from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.conftest import write_crops
from tests.torture.lines import LINES
from tests.torture.program import Expected, expected_of

PHOTOS = 24


@pytest.fixture(scope="session")
def many_photos(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 24 crops of real photos."""
    folder = tmp_path_factory.mktemp("many")
    write_crops(data, folder, PHOTOS)
    return folder


@pytest.fixture(scope="session")
def maps(many_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return what an undisturbed run of `maps` writes."""
    return expected_of(many_photos, tmp_path_factory.mktemp("maps"), "maps")


@pytest.fixture(scope="session")
def images(many_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return what an undisturbed run of `convert` writes."""
    return expected_of(many_photos, tmp_path_factory.mktemp("images"), "convert")


def pytest_terminal_summary() -> None:
    """Print the table."""
    if not LINES:
        return
    table = Table("disturbance", "tries", "lost", "twice", "hangs", "seconds", "note")
    for line in LINES:
        numbers = (line.tries, line.lost, line.twice, line.hangs)
        table.add_row(line.name, *map(str, numbers), f"{line.seconds:.0f}", line.note)
    Console(width=120).print(table)
