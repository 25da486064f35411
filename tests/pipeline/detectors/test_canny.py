"""Canny edges."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.detectors.canny import Canny
from schemas.detectors import CannySettings


def test_edges_are_those_of_the_rgb_image(data: Path) -> None:
    pixels = np.asarray(Image.open(data / "chelsea.png").convert("RGB"))
    edges = Canny(CannySettings())(pixels)
    assert (edges == cv2.Canny(pixels, 100, 200)[:, :, None]).all()
    assert set(np.unique(edges)) == {0, 255}
    assert (edges[..., 0] != cv2.Canny(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 100, 200)).any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (65, 97, 3), (384, 640, 3)])
def test_map_of_a_flat_image_is_black_at_any_size(shape: tuple[int, int, int]) -> None:
    edges = Canny(CannySettings(low=10, high=20))(np.full(shape, 200, np.uint8))
    assert edges.shape == shape
    assert not edges.any()
