"""Tile: the picture, or the picture without its details."""

import numpy as np

from pipeline.detectors.tile import Tile
from schemas.detectors import TileSettings
from tests.pipeline.detectors.bare import photo


def test_without_blur_it_is_the_very_picture() -> None:
    pixels = photo(64)
    assert Tile(TileSettings())(pixels) is pixels


def test_blur_averages_and_moves_nothing() -> None:
    pixels = np.zeros((33, 33, 3), np.uint8)
    pixels[16, 16] = (225, 90, 9)
    drawn = Tile(TileSettings(blur=3))(pixels)
    assert (drawn[15:18, 15:18] == (25, 10, 1)).all()
    assert drawn.sum() == 9 * 36
