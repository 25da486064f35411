"""Line drawings: the library's to the byte, white on black, and the filter without its warning over flat pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.lineart import Lineart
from schemas.detectors import LineartSettings
from tests.pipeline.detectors.bare import bare_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("style", ["realistic", "coarse"])
def test_the_map_is_the_librarys(weights_of: Callable[[str], Path], style: Any) -> None:
    ours = Lineart(LineartSettings(style=style), weights_of("lineart"), "cpu")
    assert ours._network is not None
    pixels = photo(128)
    network = ours._network.network
    drawn = ours(pixels)
    assert (drawn == bare_map("LineartDetector", (network, network), pixels, coarse=style == "coarse")).all()
    assert drawn.std() > 0


def test_the_filters_map_is_the_librarys() -> None:
    pixels = photo(128)
    expected = controlnet_aux.lineart_standard.LineartStandardDetector()(
        pixels, detect_resolution=128, output_type="np"
    )
    assert (Lineart(LineartSettings(style="standard"), None, "cpu")(pixels) == expected).all()
    assert expected.std() > 10


def test_a_dark_line_on_white_is_white_on_black() -> None:
    page = np.full((64, 64, 3), 255, np.uint8)
    page[30:33] = 0
    drawn = Lineart(LineartSettings(style="standard"), None, "cpu")(page)
    assert drawn[31, 32, 0] > 100
    assert not drawn[:5].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_has_no_lines_and_no_warning(value: int) -> None:
    assert not Lineart(LineartSettings(style="standard"), None, "cpu")(np.full((32, 48, 3), value, np.uint8)).any()
