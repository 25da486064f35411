"""Soft edges."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.detectors.softedge import Softedge
from pipeline.errors import ModelMismatchError
from schemas.detectors import SoftedgeSettings
from tests.pipeline.detectors.controlnet_aux_maps import library_map, photo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
LIBRARY_CLASSES = {"hed": "HEDdetector", "pidi": "PidiNetDetector"}
METHODS = pytest.mark.parametrize("method", list(LIBRARY_CLASSES))


@pytest.fixture(scope="module")
def load(weights_of: Callable[[str], Path]) -> Callable[..., Softedge]:
    """Return a function that loads a detector with some settings, once for all tests."""
    return functools.cache(lambda **settings: Softedge(SoftedgeSettings(**settings), weights_of("softedge"), "cpu"))


@pytest.mark.parametrize("safe", [False, True])
@METHODS
def test_map_equals_that_of_controlnet_aux(load: Callable[..., Softedge], method: str, safe: bool) -> None:  # noqa: FBT001 - a parameter of a test
    detector = load(method=method, safe=safe)
    pixels = photo(128)
    edges = detector(pixels)
    assert (edges == library_map(LIBRARY_CLASSES[method], (detector.network,), pixels, safe=safe)).all()
    assert edges.std() > 0
    assert (len(np.unique(edges)) <= 4) == safe


@pytest.mark.parametrize(("method", "side"), [("hed", 64), ("pidi", 192)])
def test_map_is_equal_at_sizes_with_another_order_of_sums(
    load: Callable[..., Softedge], method: str, side: int
) -> None:
    detector = load(method=method, safe=False)
    pixels = photo(side)
    assert (detector(pixels) == library_map(LIBRARY_CLASSES[method], (detector.network,), pixels)).all()


@METHODS
def test_image_of_an_odd_size_is_padded_and_not_moved(load: Callable[..., Softedge], method: str) -> None:
    detector = load(method=method, safe=False)
    pixels = photo(128)
    full, cropped = detector(pixels), detector(pixels[:121, :118])
    assert cropped.shape == (121, 118, 3)
    corner = cropped[:56, :56].astype(int)  # far from the edges that were cropped
    difference, shifted = np.abs(corner - full[:56, :56]), np.abs(corner - full[:56, 1:57])
    assert difference.mean() < 1
    assert shifted.mean() > 4 * difference.mean()


def test_batch_equals_single_maps(load: Callable[..., Softedge]) -> None:
    detector = load(method="pidi", safe=False)
    photos = np.stack([photo(64), photo(64)[::-1], photo(64)[:, ::-1]])
    assert (detector.batch(photos) == np.stack([detector(each) for each in photos])).all()


@METHODS
def test_weights_of_another_network_are_an_error(tmp_path: Path, method: Any) -> None:
    settings = SoftedgeSettings(method=method)
    torch.save({"other": torch.zeros(1)}, tmp_path / settings.files[0])
    with pytest.raises(ModelMismatchError, match=settings.files[0]):
        Softedge(settings, tmp_path, "cpu")
