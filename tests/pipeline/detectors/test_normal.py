"""Surface normals."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.detectors.normal import Normal
from schemas.detectors import NormalSettings
from tests.pipeline.detectors.controlnet_aux_maps import library_map, photo

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def test_map_equals_that_of_controlnet_aux(
    weights_of: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    detector = Normal(NormalSettings(), weights_of("normal"), "cpu")
    pixels = photo(128)
    normals = detector(pixels)
    assert (normals == library_map("NormalBaeDetector", (detector.network,), pixels)).all()
    assert normals.std() > 0
    assert (normals[..., 0] != normals[..., 2]).any()
    assert capsys.readouterr().out == ""
