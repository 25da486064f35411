"""Anime lines: the library's where it does not stretch the picture, and never stretched here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.lineart_anime import LineartAnime
from schemas.detectors import LineartAnimeSettings
from tests.pipeline.detectors.bare import bare_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def ours(weights_of: Callable[[str], Path]) -> LineartAnime:
    return LineartAnime(LineartAnimeSettings(), weights_of("lineart_anime"), "cpu")


def test_the_map_is_the_librarys(ours: LineartAnime) -> None:
    pixels = photo(256)
    drawn = ours(pixels)
    difference = np.abs(drawn.astype(int) - bare_map("LineartAnimeDetector", (ours.network,), pixels))
    assert difference.max() <= 1  # of 255: the same numbers in another order of memory are summed in another order
    assert (difference > 0).mean() < 1e-3
    assert drawn.std() > 0


def test_an_odd_size_goes_through_padded_on_the_right_and_below(ours: LineartAnime) -> None:
    from pipeline.detectors.torch_detector import pad_to_multiple

    pixels = photo(256)[:200, :180]
    assert (ours(pixels) == ours(pad_to_multiple(pixels[None], 256)[0])[:200, :180]).all()
