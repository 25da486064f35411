"""A GPU worker detects deferred control maps and generates images. In mode maps it only detects control maps."""

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

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DEPTH = frozenset({"depth"})


@pytest.fixture(scope="module")
def recipe(weights_of: Callable[[str], Path]) -> Recipe:
    return recipe_of(CannySettings(), DepthSettings(weights=str(weights_of("depth"))))


def test_deferred_maps_and_the_image_equal_those_without_deferral(recipe: Recipe, decoded: Decoded) -> None:
    table = rows_to_table([decoded], Decoded)
    deferred = ControlMaps(recipe, deferred=DEPTH)(table)
    (row,) = table_to_rows(deferred, Mapped)
    assert isinstance(row, Mapped)
    assert row.maps[1] is None
    (expected,) = table_to_rows(GpuWorker(recipe, keep_maps=True)(ControlMaps(recipe)(table)), Converted)
    (converted,) = table_to_rows(GpuWorker(recipe, DEPTH, keep_maps=True)(deferred), Converted)
    assert isinstance(expected, Converted)
    assert isinstance(converted, Converted)
    assert [each.sha256 for each in expected.maps] == [each.sha256 for each in converted.maps]
    assert (expected.image == converted.image).all()
    assert all(np.asarray(each.pixels).shape == (64, 64, 3) for each in converted.maps)


def test_the_pixels_of_maps_are_dropped_unless_maps_are_kept(recipe: Recipe, decoded: Decoded) -> None:
    mapped = ControlMaps(recipe).run([decoded])
    (row,) = GpuWorker(recipe).run(mapped)
    assert isinstance(row, Converted)
    assert [each.pixels for each in row.maps] == [None, None]
    assert all(each.sha256 for each in row.maps)


def test_in_mode_maps_the_worker_returns_control_maps(recipe: Recipe, decoded: Decoded) -> None:
    only_maps = recipe.model_copy(update={"mode": "maps"})
    deferred = ControlMaps(only_maps, deferred=DEPTH)(rows_to_table([decoded], Decoded))
    (row,) = table_to_rows(GpuWorker(only_maps, DEPTH)(deferred), Mapped)
    assert isinstance(row, Mapped)
    assert [each.detector for each in row.maps if each] == ["canny", "depth"]
