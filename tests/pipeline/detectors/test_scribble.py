"""Scribbles by networks and by the difference of Gaussians."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.detectors.scribble import Scribble
from schemas.detectors import ScribbleSettings
from tests.pipeline.detectors.controlnet_aux_maps import library_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("method", "kind"), [("hed", "HEDdetector"), ("pidi", "PidiNetDetector")])
def test_strokes_equal_those_of_controlnet_aux(weights_of: Callable[[str], Path], method: Any, kind: str) -> None:
    detector = Scribble(ScribbleSettings(method=method), weights_of("scribble"), "cpu")
    pixels = photo(128)
    strokes = detector(pixels)
    assert detector._edges is not None
    assert (strokes == library_map(kind, (detector._edges.network,), pixels, scribble=True)).all()
    assert set(np.unique(strokes)) <= {0, 255}


def test_xdog_detects_dark_lines_without_a_network() -> None:
    page = np.full((64, 64, 3), 220, np.uint8)
    page[:, 30:33] = 20
    page[10:12] = 255  # a light line, which is not detected
    strokes = Scribble(ScribbleSettings(method="xdog"), None, "cpu")(page)
    assert (strokes[30:, 31] == 255).all()
    assert not strokes[30:, :20].any()
    assert not strokes[10:12, :20].any()
    assert set(np.unique(strokes)) == {0, 255}


@pytest.mark.parametrize("threshold", [1, 16, 31.5, 32])
def test_xdog_equals_the_published_formula(threshold: float) -> None:
    pixels = photo(128)
    fine, coarse = (cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), width) for width in (0.5, 5.0))
    dog = (255 - np.min(coarse - fine, axis=2)).clip(0, 255).astype(np.uint8)
    expected = 2 * (255 - dog.astype(int)) > threshold
    strokes = Scribble(ScribbleSettings(method="xdog", threshold=threshold), None, "cpu")(pixels)
    assert (strokes == np.where(expected, 255, 0)[:, :, None]).all()


def test_higher_threshold_gives_fewer_strokes() -> None:
    pixels = photo(128)
    many, few = (Scribble(ScribbleSettings(method="xdog", threshold=value), None, "cpu")(pixels) for value in (16, 96))
    assert many.mean() > 2 * few.mean() > 0
