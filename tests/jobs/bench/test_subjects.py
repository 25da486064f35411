"""What the model is measured on is what it is said to be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.bench import measures, subjects
from jobs.training.canvas import SIDE
from pipeline.faults import ManifestFault


def test_photos_are_squares_of_scikit_image_or_of_a_folder(photos: Path) -> None:
    shipped = subjects.photos(None)
    assert len(shipped) == len(subjects.PHOTOS)
    assert {photo.shape for photo in [*shipped, *subjects.photos(str(photos))]} == {(SIDE, SIDE, 3)}


def test_a_folder_that_cannot_be_measured_on_is_one_line(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ManifestFault, match="no picture there"):
        subjects.photos(str(tmp_path))
    shutil.copy(next(photos.glob("*.jpg")), tmp_path / "one.JPG")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "white.png")
    with pytest.raises(ManifestFault, match="1 of 2 photos have edges to compare, two are needed"):
        subjects.photos(str(tmp_path))
    (tmp_path / "two.jpeg").write_bytes(b"none")
    with pytest.raises(ManifestFault, match="two.jpeg: no readable picture"):
        subjects.photos(str(tmp_path))


def test_a_person_lies_over_its_skeleton_and_moves_with_it() -> None:
    here, there = subjects.standing(3)
    skeleton = here.pose.any(axis=2)
    assert (skeleton & here.covered).sum() > 0.75 * skeleton.sum()
    moved = np.roll(here.covered, subjects.SHIFT, axis=1)
    assert measures.intersection_over_union(moved, there.covered) > 0.95


def test_the_nearer_disc_hides_the_farther_ones_rim() -> None:
    for number in range(4):
        asked = subjects.discs(number)
        steps = measures.jumps(asked.depth[:, :, 0])
        near_steps = measures.grown(steps, 1)
        assert (asked.in_front & near_steps).sum() > 0.95 * asked.in_front.sum() > 20
        assert not (asked.hidden & near_steps).any()
        assert asked.hidden.sum() > 20
