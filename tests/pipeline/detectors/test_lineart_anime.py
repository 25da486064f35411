"""The detector lineart_anime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.lineart_anime import LineartAnime
from pipeline.detectors.torch_detector import pad_to_multiple
from schemas.detectors import LineartAnimeSettings
from tests.pipeline.detectors.controlnet_aux_maps import library_map, photo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def detector(weights_of: Callable[[str], Path]) -> LineartAnime:
    return LineartAnime(LineartAnimeSettings(), weights_of("lineart_anime"), "cpu")


def test_map_equals_that_of_controlnet_aux(detector: LineartAnime) -> None:
    pixels = photo(256)
    control_map = detector(pixels)
    difference = np.abs(control_map.astype(int) - library_map("LineartAnimeDetector", (detector.network,), pixels))
    # The input of controlnet_aux has another memory layout, so that sums are rounded differently.
    assert difference.max() <= 1  # of 255
    assert (difference > 0).mean() < 1e-3
    assert control_map.std() > 0


def test_image_is_padded_on_the_right_and_below_to_multiples_of_256(detector: LineartAnime) -> None:
    pixels = photo(256)[:200, :180]
    assert (detector(pixels) == detector(pad_to_multiple(pixels[None], 256)[0])[:200, :180]).all()
