"""photo2anime maps: a dataset of control maps with records, which a second run continues."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_maps_are_detected_and_written_once(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "maps"
    command = ["maps", str(photos), "--output", str(output), "--recipe", "demo", "--limit", "3", "--set", "area=4096"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "3 photos in " in first.stdout
    assert "3 maps detected, 0 from the cache" in first.stdout
    assert len(list(output.glob("maps/*/*.canny.png"))) == 3
    assert "Nothing to do: all 3 rows" in CliRunner().invoke(app, command).stdout
    assert "No problems" in CliRunner().invoke(app, ["verify", str(output)]).stdout
