"""The demo: six photos, a contact sheet, and a note on the quality of the model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.app import app
from jobs.demo import describe
from jobs.demo_photos import PHOTOS, write_demo_manifest
from pipeline import storage
from pipeline.run import Summary


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_demo_converts_six_photos_once(tmp_path: Path) -> None:
    arguments = ["demo", "--output", str(tmp_path / "demo")]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "6 images in" in first.stdout
    assert "do not compete" in first.stdout
    with Image.open(tmp_path / "demo" / "sheet.png") as sheet:
        assert sheet.width > 5 * 256
        assert sheet.height > 6 * 192
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0
    assert "6 images, done by an earlier run." in again.stdout


@pytest.mark.parametrize(
    ("earlier", "failed", "text"),
    [
        (0, 0, "6 images in 9 s."),
        (2, 1, "5 images in 9 s."),
        (6, 1, "5 images, done by an earlier run."),
        (4, 2, "4 images, done by an earlier run."),
        (0, 6, "0 images in 9 s."),
    ],
)
def test_the_summary_names_an_earlier_run_that_made_all_images(earlier: int, failed: int, text: str) -> None:
    done = max(0, 6 - earlier - failed)
    assert describe(Summary("id", "out", done, failed, earlier, failed, 0, 0, 9.0), 6) == text


def test_the_manifest_has_six_photos_a_pose_and_a_depth_map(tmp_path: Path) -> None:
    rows = {row["photo_id"]: row for row in storage.read_table(str(write_demo_manifest(tmp_path))).to_pylist()}
    assert sorted(rows) == sorted(PHOTOS)
    assert all(Path(row["uri"]).is_file() for row in rows.values())
    (person,) = rows["astronaut.png"]["pose_keypoints"]
    assert len(person) == 51
    assert [name for name, row in rows.items() if row["pose_keypoints"]] == ["astronaut.png"]
    assert [name for name, row in rows.items() if row["depth_uri"]] == ["motorcycle_left.png"]
    depth = np.asarray(Image.open(rows["motorcycle_left.png"]["depth_uri"]))
    assert (depth.shape, depth.dtype) == ((500, 741), np.uint16)
    assert depth[300, 350] > 1.3 * depth[20, 350]  # the motorcycle is nearer than the wall
