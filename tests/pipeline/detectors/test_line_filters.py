"""The filter that detects dark lines without a network."""

import cv2
import numpy as np
import pytest

from pipeline.detectors.line_filters import local_darkness
from tests.pipeline.detectors.controlnet_aux_maps import photo


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_darkness_is_the_smallest_difference_of_gaussians(own: float) -> None:
    pixels = photo(96)
    values = pixels.astype(np.float32)
    fine = cv2.GaussianBlur(values, (0, 0), own) if own else values
    expected = (cv2.GaussianBlur(values, (0, 0), 5.0) - fine).min(axis=2)
    assert (local_darkness(pixels, 5.0, own) == expected).all()


def test_dark_dot_is_positive_and_light_dot_is_negative() -> None:
    page = np.full((32, 32, 3), 128, np.uint8)
    page[8, 8], page[24, 24] = 0, 255
    darkness = local_darkness(page, 5.0)
    assert darkness[8, 8] > 100
    assert darkness[24, 24] < 0
