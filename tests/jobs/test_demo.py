"""The demo: six photos, the sheet to look at, and an honest word about the model."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.app import app


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_session")
def test_the_demo_converts_six_photos_and_a_second_call_none(tmp_path: Path) -> None:
    arguments = ["demo", "--output", str(tmp_path / "demo")]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "6 pictures in" in first.stdout
    assert "it does not compete" in first.stdout
    with Image.open(tmp_path / "demo" / "sheet.png") as sheet:
        assert sheet.width > 5 * 256
        assert sheet.height > 6 * 192
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0
    assert "6 pictures, done before." in again.stdout
