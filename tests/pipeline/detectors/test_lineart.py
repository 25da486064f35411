"""The lineart detector: line drawings by networks and by a filter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.lineart import Lineart
from schemas.detectors import LineartSettings
from tests.pipeline.detectors.controlnet_aux_maps import library_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("style", ["realistic", "coarse"])
def test_map_of_a_network_equals_that_of_controlnet_aux(weights_of: Callable[[str], Path], style: Any) -> None:
    detector = Lineart(LineartSettings(style=style), weights_of("lineart"), "cpu")
    assert detector._network is not None
    pixels = photo(128)
    network = detector._network.network
    lines = detector(pixels)
    assert (lines == library_map("LineartDetector", (network, network), pixels, coarse=style == "coarse")).all()
    assert lines.std() > 0


def test_map_of_the_filter_equals_that_of_controlnet_aux() -> None:
    pixels = photo(128)
    expected = controlnet_aux.lineart_standard.LineartStandardDetector()(
        pixels, detect_resolution=128, output_type="np"
    )
    assert (Lineart(LineartSettings(style="standard"), None, "cpu")(pixels) == expected).all()
    assert expected.std() > 10


def test_dark_line_on_white_becomes_white_on_black() -> None:
    page = np.full((64, 64, 3), 255, np.uint8)
    page[30:33] = 0
    lines = Lineart(LineartSettings(style="standard"), None, "cpu")(page)
    assert lines[31, 32, 0] > 100
    assert not lines[:5].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0, 128, 255])
def test_filter_returns_a_black_map_for_a_flat_image_without_a_warning(value: int) -> None:
    assert not Lineart(LineartSettings(style="standard"), None, "cpu")(np.full((32, 48, 3), value, np.uint8)).any()
