"""The inpaint detector, and its masking."""

import numpy as np

from pipeline.detectors.inpaint import Inpaint, mask_out
from schemas.detectors import InpaintSettings
from tests.pipeline.detectors.controlnet_aux_maps import photo


def test_map_is_the_image() -> None:
    pixels = photo(64)
    assert Inpaint(InpaintSettings())(pixels) is pixels


def test_masked_pixels_are_black_and_the_image_is_unchanged() -> None:
    pixels = photo(64)
    before = pixels.copy()
    mask = np.zeros((64, 64), np.bool_)
    mask[3:9, 50:] = True
    masked = mask_out(pixels, mask)
    assert not masked[mask].any()
    assert (masked[~mask] == pixels[~mask]).all()
    assert (pixels == before).all()
