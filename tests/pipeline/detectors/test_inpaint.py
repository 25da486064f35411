"""Inpaint: the picture, and black where a mask covers it."""

import numpy as np

from pipeline.detectors.inpaint import Inpaint, mask_out
from schemas.detectors import InpaintSettings
from tests.pipeline.detectors.bare import photo


def test_it_is_the_very_picture() -> None:
    pixels = photo(64)
    assert Inpaint(InpaintSettings())(pixels) is pixels


def test_what_is_covered_is_black_and_the_picture_stays() -> None:
    pixels = photo(64)
    before = pixels.copy()
    covered = np.zeros((64, 64), np.bool_)
    covered[3:9, 50:] = True
    drawn = mask_out(pixels, covered)
    assert not drawn[covered].any()
    assert (drawn[~covered] == pixels[~covered]).all()
    assert (pixels == before).all()
