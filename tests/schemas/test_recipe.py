"""Recipes: what identifies one, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.recipes.load import load_recipe
from schemas.detectors import ALL_SETTINGS, LineartSettings, ScribbleSettings, Settings
from schemas.recipe import SIDE, Recipe
from tests.conftest import recipe_of


def changed(**changes: Any) -> Recipe:
    return Recipe.model_validate(load_recipe("demo").model_dump() | changes)


@pytest.mark.parametrize("change", [{"steps": 11}, {"prompt": "x"}, {"seed": 1}, {"fit": "pad"}, {"strength": 0.7}])
def test_what_decides_a_picture_changes_the_digest(change: dict[str, Any]) -> None:
    assert changed(**change).digest != load_recipe("demo").digest


def test_the_digest_of_maps_alone_knows_what_decides_maps_and_nothing_else() -> None:
    maps = changed(mode="maps")
    for same in ({"steps": 3}, {"prompt": "x"}, {"seed": 4}, {"base": {"name": "other/model"}}):
        assert changed(mode="maps", **same).digest == maps.digest
    for other in ({"fit": "pad"}, {"area": 4096}, {"background": "black"}, {"min_visible": 0.5}):
        assert changed(mode="maps", **other).digest != maps.digest
    assert load_recipe("demo", ["mode=maps", "controls.canny.detector.low=50"]).digest != maps.digest
    assert maps.digest != changed().digest


def test_where_a_detector_runs_does_not_decide() -> None:
    assert load_recipe("demo", ["controls.depth.device=cpu"]).digest == load_recipe("demo").digest


@pytest.mark.parametrize(
    "change", [{"name": "x"}, {"description": "x"}, {"batch_size": 3}, {"memory": "low"}, {"compile": "on"}]
)
def test_what_does_not_decide_a_picture_leaves_the_digest(change: dict[str, Any]) -> None:
    assert changed(**change).digest == load_recipe("demo").digest


def test_buckets_have_sides_of_64_and_nearly_the_area() -> None:
    recipe = changed(area=512 * 512)
    assert recipe.buckets[0] == (512, 512)
    assert (576, 448) in recipe.buckets
    for width, height in recipe.buckets:
        assert width % SIDE == height % SIDE == 0
        assert width * height == pytest.approx(recipe.area, rel=0.16)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 1, "strength": 0.6}, "no step at all"),
        ({"stepps": 3}, "Extra inputs"),
        ({"prompt": "{caption!r}"}, "no column's name"),
        ({"prompt": "{caption.__class__}"}, "no column's name"),
        ({"prompt": "{"}, "do not match"),
        ({"aspect_ratios": ["4x3"]}, "no aspect ratio"),
        ({"aspect_ratios": []}, "at least one"),
        ({"controls": []}, "at least 1"),
        ({"guidance": 0.5}, "greater than or equal to 1"),
        ({"background": "no colour"}, "unknown color specifier"),
        ({"min_visible": 0}, "greater than 0"),
        ({"loras": [{"name": "a/b", "file": "/etc/c.safetensors"}]}, "no path below"),
        ({"loras": [{"name": "a/b", "file": ""}]}, "no path below"),
        ({"embeddings": [{"name": "a/b", "file": "../c.pt", "token": "<t>"}]}, "no path below"),
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        changed(**change)


def test_a_control_must_not_end_before_it_starts_nor_stand_twice() -> None:
    controls = [control.model_dump() for control in load_recipe("demo").controls]
    with pytest.raises(ValidationError, match="must be below end"):
        changed(controls=[controls[0] | {"start": 0.5, "end": 0.5}])
    with pytest.raises(ValidationError, match="stands twice"):
        changed(controls=[controls[0], controls[0]])


def test_a_recipe_locked_to_weights_is_the_same_wherever_they_lie() -> None:
    digest = "e" * 64
    here, there = (changed(base={"name": name, "sha256": digest}) for name in ("builtin:demo", "s3://models/demo"))
    assert here.digest == there.digest != changed(base={"name": "builtin:demo", "sha256": "f" * 64}).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": {"name": "x", "file": "a.ckpt", "config": {"name": "y"}}}, "must be safetensors"),
        ({"base": {"name": "x", "file": "a.safetensors"}}, "file and config go together"),
        ({"embeddings": [{"name": "a", "token": "t"}, {"name": "b", "token": "t"}]}, "token stands twice"),
        ({"upscale": {"net": {"name": "x"}, "tile": 64, "overlap": 64}}, "half of upscale.tile"),
        ({"upscale": {"net": {"name": "x"}, "strength": 0.01}}, "no step at all"),
        ({"prompt": "{a|b"}, "do not match"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        changed(**change)


def test_the_detector_of_a_region_stands_behind_those_of_the_nets() -> None:
    of_subject = changed(mode="inpaint", region={"of": "subject"})
    assert [settings.name for settings in of_subject.detectors] == ["canny", "openpose", "depth", "seg"]
    assert len(changed(mode="inpaint").detectors) == 3


def test_a_crop_around_people_needs_someone_who_finds_them() -> None:
    controls = [control.model_dump() for control in load_recipe("demo").controls]
    assert changed(fit="people").fit == "people"
    with pytest.raises(ValidationError, match="needs a control whose detector finds people"):
        changed(fit="people", controls=controls[:1])


WITH_NETWORK = {"openpose", "depth", "softedge", "scribble", "lineart", "lineart_anime", "normal", "seg"}


@pytest.mark.parametrize("kind", ALL_SETTINGS)
def test_networks_that_gain_from_a_gpu_join_it(kind: type[Settings]) -> None:
    assert bool(recipe_of(kind()).gpu_detectors) == (kind.model_fields["name"].default in WITH_NETWORK)


@pytest.mark.parametrize("settings", [ScribbleSettings(method="xdog"), LineartSettings(style="standard")])
def test_a_way_without_a_network_stays_on_the_cpu(settings: Settings) -> None:
    assert not recipe_of(settings).gpu_detectors


def test_the_recipe_decides_otherwise() -> None:
    recipe = recipe_of(LineartSettings())
    control = recipe.controls[0].model_copy(update={"device": "cpu"})
    assert recipe.gpu_detectors == {"lineart"}
    assert not recipe.model_copy(update={"controls": (control,)}).gpu_detectors
