"""What a GPU's process does: the maps that are left to it, then pictures; and for maps alone no pictures."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.gpu_worker import GpuWorker
from schemas.detectors import CannySettings, DepthSettings
from schemas.recipe import Recipe
from schemas.work import CONVERTED, DECODED, MAPPED, Row
from tests.conftest import recipe_of

pytestmark = pytest.mark.filterwarnings("ignore")
DEPTH = frozenset({"depth"})


@pytest.fixture(scope="module")
def recipe(weights_of: Callable[[str], Path]) -> Recipe:
    return recipe_of(CannySettings(), DepthSettings(weights=str(weights_of("depth"))))


@pytest.fixture
def unit(decoded: Row) -> pa.Table:
    return pa.Table.from_pylist([decoded], DECODED)


def test_maps_that_were_left_are_drawn_before_the_picture(recipe: Recipe, unit: pa.Table) -> None:
    whole = GpuWorker(recipe)(ControlMaps(recipe)(unit))
    left = ControlMaps(recipe, left=DEPTH)(unit)
    assert left.to_pylist()[0]["maps"][1] is None
    shared = GpuWorker(recipe, DEPTH)(left)
    assert shared.schema == whole.schema == CONVERTED
    (one,), (other,) = shared.to_pylist(), whole.to_pylist()
    assert one["maps"] == other["maps"]
    assert one["picture"] == other["picture"]


def test_maps_alone_end_with_the_maps(recipe: Recipe, unit: pa.Table) -> None:
    alone = recipe.model_copy(update={"mode": "maps"})
    drawn = GpuWorker(alone, DEPTH)(ControlMaps(alone, left=DEPTH)(unit))
    assert drawn.schema == MAPPED
    assert [each["detector"] for each in drawn.to_pylist()[0]["maps"]] == ["canny", "depth"]
