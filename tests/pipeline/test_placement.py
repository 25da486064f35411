"""Which detectors join the GPU: those with a torch network, unless the recipe says otherwise."""

import pytest

from pipeline.placement import on_gpu
from schemas.detectors import ALL_SETTINGS, LineartSettings, ScribbleSettings, Settings
from tests.conftest import recipe_of

WITH_NETWORK = {"openpose", "depth", "softedge", "scribble", "lineart", "lineart_anime", "normal", "seg"}


@pytest.mark.parametrize("kind", ALL_SETTINGS)
def test_networks_that_gain_from_a_gpu_join_it(kind: type[Settings]) -> None:
    assert bool(on_gpu(recipe_of(kind()))) == (kind.model_fields["name"].default in WITH_NETWORK)


@pytest.mark.parametrize("settings", [ScribbleSettings(method="xdog"), LineartSettings(style="standard")])
def test_a_way_without_a_network_stays_on_the_cpu(settings: Settings) -> None:
    assert not on_gpu(recipe_of(settings))


def test_the_recipe_decides_otherwise() -> None:
    recipe = recipe_of(LineartSettings())
    control = recipe.controls[0].model_copy(update={"device": "cpu"})
    assert on_gpu(recipe) == {"lineart"}
    assert not on_gpu(recipe.model_copy(update={"controls": (control,)}))
