"""Darker than around: the plain formula's numbers, from OpenCV's calls."""

import cv2
import numpy as np
import pytest

from pipeline.detectors.line_filters import local_darkness
from tests.pipeline.detectors.bare import photo


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_it_is_the_formula(own: float) -> None:
    pixels = photo(96)
    exact = pixels.astype(np.float32)
    fine = cv2.GaussianBlur(exact, (0, 0), own) if own else exact
    expected = (cv2.GaussianBlur(exact, (0, 0), 5.0) - fine).min(axis=2)
    assert (local_darkness(pixels, 5.0, own) == expected).all()


def test_a_dark_dot_is_darker_and_a_light_one_is_not() -> None:
    page = np.full((32, 32, 3), 128, np.uint8)
    page[8, 8], page[24, 24] = 0, 255
    found = local_darkness(page, 5.0)
    assert found[8, 8] > 100
    assert found[24, 24] < 0
