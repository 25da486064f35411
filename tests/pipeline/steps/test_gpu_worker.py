"""A GPU worker detects the maps that are left to it, then generates images; in mode maps it stops before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.row_step import rows_to_table, table_to_rows
from schemas.detectors import CannySettings, DepthSettings
from schemas.recipe import Recipe
from schemas.work import Converted, Decoded, Mapped
from tests.conftest import recipe_of

pytestmark = pytest.mark.filterwarnings("ignore")
DEPTH = frozenset({"depth"})


@pytest.fixture(scope="module")
def recipe(weights_of: Callable[[str], Path]) -> Recipe:
    return recipe_of(CannySettings(), DepthSettings(weights=str(weights_of("depth"))))


def test_deferred_maps_are_detected_before_the_image(recipe: Recipe, decoded: Decoded) -> None:
    table = rows_to_table([decoded], Decoded)
    deferred = ControlMaps(recipe, deferred=DEPTH)(table)
    (row,) = table_to_rows(deferred, Mapped)
    assert isinstance(row, Mapped)
    assert row.maps[1] is None
    (one,) = table_to_rows(GpuWorker(recipe, keep_maps=True)(ControlMaps(recipe)(table)), Converted)
    (other,) = table_to_rows(GpuWorker(recipe, DEPTH, keep_maps=True)(deferred), Converted)
    assert isinstance(one, Converted)
    assert isinstance(other, Converted)
    assert [each.sha256 for each in one.maps] == [each.sha256 for each in other.maps]
    assert (one.image == other.image).all()
    assert all(np.asarray(each.pixels).shape == (64, 64, 3) for each in other.maps)


def test_the_pixels_of_maps_are_dropped_unless_maps_are_kept(recipe: Recipe, decoded: Decoded) -> None:
    mapped = ControlMaps(recipe).run([decoded])
    (row,) = GpuWorker(recipe).run(mapped)
    assert isinstance(row, Converted)
    assert [each.pixels for each in row.maps] == [None, None]
    assert all(each.sha256 for each in row.maps)


def test_in_mode_maps_it_returns_maps(recipe: Recipe, decoded: Decoded) -> None:
    only_maps = recipe.model_copy(update={"mode": "maps"})
    deferred = ControlMaps(only_maps, deferred=DEPTH)(rows_to_table([decoded], Decoded))
    (row,) = table_to_rows(GpuWorker(only_maps, DEPTH)(deferred), Mapped)
    assert isinstance(row, Mapped)
    assert [each.detector for each in row.maps if each] == ["canny", "depth"]
