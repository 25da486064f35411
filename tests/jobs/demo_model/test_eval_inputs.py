"""The inputs of the demo model's evaluation: square photos, bodies on skeletons, and depth maps of discs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import eval_inputs, metrics
from jobs.demo_model.scene_canvas import SIDE
from pipeline.errors import ManifestError


def test_photos_are_squares_of_scikit_image_or_of_a_folder(photos: Path) -> None:
    shipped = eval_inputs.evaluation_photos(None)
    assert len(shipped) == len(eval_inputs.PHOTOS)
    assert {photo.shape for photo in [*shipped, *eval_inputs.evaluation_photos(str(photos))]} == {(SIDE, SIDE, 3)}


def test_folder_without_usable_photos_is_refused(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ManifestError):
        eval_inputs.evaluation_photos(str(tmp_path))
    shutil.copy(next(photos.glob("*.jpg")), tmp_path / "one.JPG")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "white.png")
    with pytest.raises(ManifestError, match="1 of 2"):
        eval_inputs.evaluation_photos(str(tmp_path))
    (tmp_path / "two.jpeg").write_bytes(b"none")
    with pytest.raises(ManifestError, match="two.jpeg"):
        eval_inputs.evaluation_photos(str(tmp_path))


def test_body_covers_its_skeleton_and_moves_with_it() -> None:
    original, shifted = eval_inputs.person_maps(3)
    skeleton = original.pose.any(axis=2)
    assert (skeleton & original.body).sum() > 0.75 * skeleton.sum()
    moved = np.roll(original.body, eval_inputs.SHIFT, axis=1)
    assert metrics.intersection_over_union(moved, shifted.body) > 0.95


def test_depth_map_steps_at_the_visible_rim_only() -> None:
    for number in range(4):
        discs = eval_inputs.disc_map(number)
        near_steps = metrics.dilate(metrics.depth_steps(discs.depth[:, :, 0]), 1)
        assert (discs.visible_rim & near_steps).sum() > 0.95 * discs.visible_rim.sum() > 20
        assert not (discs.hidden_rim & near_steps).any()
        assert discs.hidden_rim.sum() > 20
