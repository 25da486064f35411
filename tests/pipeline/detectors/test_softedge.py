"""Soft edges: at sizes that the library takes, its own map to the byte; at others, not a pixel moved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.detectors.softedge import Softedge
from pipeline.errors import ModelError
from schemas.detectors import SoftedgeSettings
from tests.pipeline.detectors.bare import bare_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = {"hed": "HEDdetector", "pidi": "PidiNetDetector"}


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("method", ["hed", "pidi"])
def test_the_map_is_the_librarys(weights_of: Callable[[str], Path], method: Any, safe: bool) -> None:  # noqa: FBT001 - a parameter of a test
    ours = Softedge(SoftedgeSettings(method=method, safe=safe), weights_of("softedge"), "cpu")
    pixels = photo(128)
    drawn = ours(pixels)
    assert (drawn == bare_map(KINDS[method], (ours.network,), pixels, safe=safe)).all()
    assert drawn.std() > 0
    assert (len(np.unique(drawn)) <= 4) == safe


@pytest.mark.parametrize(("method", "side"), [("hed", 64), ("pidi", 192)])
def test_so_it_is_where_sums_round_by_their_order(weights_of: Callable[[str], Path], method: Any, side: int) -> None:
    ours = Softedge(SoftedgeSettings(method=method), weights_of("softedge"), "cpu")
    pixels = photo(side)
    assert (ours(pixels) == bare_map(KINDS[method], (ours.network,), pixels)).all()


@pytest.mark.parametrize("method", ["hed", "pidi"])
def test_a_picture_of_an_odd_size_is_padded_and_not_moved(weights_of: Callable[[str], Path], method: Any) -> None:
    ours = Softedge(SoftedgeSettings(method=method), weights_of("softedge"), "cpu")
    pixels = photo(128)
    whole, part = ours(pixels), ours(pixels[:121, :118])
    assert part.shape == (121, 118, 3)
    apart = np.abs(part[:56, :56].astype(int) - whole[:56, :56])  # far from the edge that was cut
    shifted = np.abs(part[:56, :56].astype(int) - whole[:56, 1:57])
    assert apart.mean() < 1
    assert shifted.mean() > 4 * apart.mean()


def test_a_batch_is_as_one_by_one(weights_of: Callable[[str], Path]) -> None:
    ours = Softedge(SoftedgeSettings(method="pidi"), weights_of("softedge"), "cpu")
    photos = np.stack([photo(64), photo(64)[::-1], photo(64)[:, ::-1]])
    assert (ours.batch(photos) == np.stack([ours(each) for each in photos])).all()


@pytest.mark.parametrize("method", ["hed", "pidi"])
def test_weights_of_another_network_are_a_fault_of_one_line(tmp_path: Path, method: Any) -> None:
    settings = SoftedgeSettings(method=method)
    torch.save({"other": torch.zeros(1)}, tmp_path / settings.files[0])
    with pytest.raises(ModelError, match="weights of another network"):
        Softedge(settings, tmp_path, "cpu")
