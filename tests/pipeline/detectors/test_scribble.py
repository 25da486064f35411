"""Scribbles: strokes of one strength, the library's where it has them, dark lines' where it has none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.detectors.scribble import Scribble
from schemas.detectors import ScribbleSettings
from tests.pipeline.detectors.bare import bare_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("method", "kind"), [("hed", "HEDdetector"), ("pidi", "PidiNetDetector")])
def test_strokes_are_the_librarys(weights_of: Callable[[str], Path], method: Any, kind: str) -> None:
    ours = Scribble(ScribbleSettings(method=method), weights_of("scribble"), "cpu")
    pixels = photo(128)
    drawn = ours(pixels)
    assert ours._edges is not None
    assert (drawn == bare_map(kind, (ours._edges.network,), pixels, scribble=True)).all()
    assert set(np.unique(drawn)) <= {0, 255}


def test_xdog_draws_dark_lines_and_needs_no_network() -> None:
    page = np.full((64, 64, 3), 220, np.uint8)
    page[:, 30:33] = 20
    page[10:12] = 255  # light lines are none
    drawn = Scribble(ScribbleSettings(method="xdog"), None, "cpu")(page)
    assert (drawn[30:, 31] == 255).all()
    assert not drawn[30:, :20].any()
    assert not drawn[10:12, :20].any()
    assert set(np.unique(drawn)) == {0, 255}


@pytest.mark.parametrize("threshold", [1, 16, 31.5, 32])
def test_xdog_is_the_published_formula(threshold: float) -> None:
    pixels = photo(128)
    fine, coarse = (cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), width) for width in (0.5, 5.0))
    dog = (255 - np.min(coarse - fine, axis=2)).clip(0, 255).astype(np.uint8)
    expected = 2 * (255 - dog.astype(int)) > threshold
    drawn = Scribble(ScribbleSettings(method="xdog", threshold=threshold), None, "cpu")(pixels)
    assert (drawn == np.where(expected, 255, 0)[:, :, None]).all()


def test_a_higher_threshold_leaves_less() -> None:
    pixels = photo(128)
    some, less = (Scribble(ScribbleSettings(method="xdog", threshold=value), None, "cpu")(pixels) for value in (16, 96))
    assert some.mean() > 2 * less.mean() > 0
