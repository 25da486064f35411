"""Tiles cover a picture, overlap as asked, and come together without a seam."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.diffusion import tiles

SIDES = st.integers(8, 40).map(lambda eighths: eighths * 8)


@given(height=SIDES, width=SIDES, side=st.sampled_from([64, 128]), overlap=st.sampled_from([0, 8, 32]))
def test_tiles_of_a_picture_make_the_picture_again(height: int, width: int, side: int, overlap: int) -> None:
    picture = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    places = tiles.corners(height, width, side, overlap)
    cut = [tiles.cut(picture, place, side) for place in places]
    assert {tile.shape for tile in cut} == {(min(height, side), min(width, side), 3)}
    assert all(top % 8 == left % 8 == 0 for top, left in places)
    for axis, length in enumerate((height, width)):
        starts = sorted({place[axis] for place in places})
        assert all(after - before <= side - overlap for before, after in itertools.pairwise(starts))
        assert starts[-1] + min(side, length) == length
    assert (tiles.put_together(cut, places, height, width, overlap) == picture).all()


def test_tiles_pass_into_each_other_evenly() -> None:
    places = tiles.corners(64, 96, 64, 32)
    made = [np.full((64, 64, 3), value, np.uint8) for value in (50, 200)]
    whole = tiles.put_together(made, places, 64, 96, 32)[32, :, 0].astype(int)
    assert (whole[:33] == 50).sum() >= 32
    assert (np.diff(whole) >= 0).all()
    assert np.diff(whole).max() <= 10


def test_an_enlarged_picture_is_the_picture_larger() -> None:
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    large = tiles.enlarge(ramp, 2)
    assert large.shape == (64, 64, 3)
    assert np.abs(large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) - ramp).mean() < 2
