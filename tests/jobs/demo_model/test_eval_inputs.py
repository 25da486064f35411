"""What the model is measured on is what it is said to be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import eval_inputs, metrics
from jobs.demo_model.scene_canvas import SIDE
from pipeline.errors import ManifestError


def test_photos_are_squares_of_scikit_image_or_of_a_folder(photos: Path) -> None:
    shipped = eval_inputs.photos(None)
    assert len(shipped) == len(eval_inputs.PHOTOS)
    assert {photo.shape for photo in [*shipped, *eval_inputs.photos(str(photos))]} == {(SIDE, SIDE, 3)}


def test_a_folder_that_cannot_be_measured_on_is_one_line(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ManifestError, match="no picture there"):
        eval_inputs.photos(str(tmp_path))
    shutil.copy(next(photos.glob("*.jpg")), tmp_path / "one.JPG")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "white.png")
    with pytest.raises(ManifestError, match="1 of 2 photos have edges to compare, two are needed"):
        eval_inputs.photos(str(tmp_path))
    (tmp_path / "two.jpeg").write_bytes(b"none")
    with pytest.raises(ManifestError, match="two.jpeg: no readable picture"):
        eval_inputs.photos(str(tmp_path))


def test_a_person_lies_over_its_skeleton_and_moves_with_it() -> None:
    here, there = eval_inputs.standing(3)
    skeleton = here.pose.any(axis=2)
    assert (skeleton & here.covered).sum() > 0.75 * skeleton.sum()
    moved = np.roll(here.covered, eval_inputs.SHIFT, axis=1)
    assert metrics.intersection_over_union(moved, there.covered) > 0.95


def test_the_nearer_disc_hides_the_farther_ones_rim() -> None:
    for number in range(4):
        asked = eval_inputs.discs(number)
        steps = metrics.jumps(asked.depth[:, :, 0])
        near_steps = metrics.grown(steps, 1)
        assert (asked.in_front & near_steps).sum() > 0.95 * asked.in_front.sum() > 20
        assert not (asked.hidden & near_steps).any()
        assert asked.hidden.sum() > 20
