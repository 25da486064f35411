"""The tile detector."""

import numpy as np

from pipeline.detectors.tile import Tile
from schemas.detectors import TileSettings
from tests.pipeline.detectors.controlnet_aux_maps import photo


def test_map_without_blur_is_the_image() -> None:
    pixels = photo(64)
    assert Tile(TileSettings())(pixels) is pixels


def test_blur_is_a_centred_mean() -> None:
    pixels = np.zeros((33, 33, 3), np.uint8)
    pixels[16, 16] = (225, 90, 9)
    blurred = Tile(TileSettings(blur=3))(pixels)
    assert (blurred[15:18, 15:18] == (25, 10, 1)).all()
    assert blurred.sum() == 9 * 36
