"""Recipes: the digest, derived properties, and invalid settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.recipes.load import load_recipe
from schemas.detectors import ALL_SETTINGS, LineartSettings, ScribbleSettings, Settings
from schemas.recipe import SIDE, Recipe
from tests.conftest import recipe_of


def changed_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(load_recipe("demo").model_dump() | changes)


@pytest.mark.parametrize("change", [{"steps": 11}, {"prompt": "x"}, {"seed": 1}, {"fit": "pad"}, {"strength": 0.7}])
def test_settings_that_affect_images_change_the_digest(change: dict[str, Any]) -> None:
    assert changed_recipe(**change).digest != load_recipe("demo").digest


def test_in_mode_maps_the_digest_depends_only_on_settings_of_control_maps() -> None:
    maps = changed_recipe(mode="maps")
    for unrelated in ({"steps": 3}, {"prompt": "x"}, {"seed": 4}, {"base": {"name": "other/model"}}):
        assert changed_recipe(mode="maps", **unrelated).digest == maps.digest
    for related in ({"fit": "pad"}, {"area": 4096}, {"background": "black"}, {"min_visible": 0.5}):
        assert changed_recipe(mode="maps", **related).digest != maps.digest
    assert load_recipe("demo", ["mode=maps", "controls.canny.detector.low=50"]).digest != maps.digest
    assert maps.digest != changed_recipe().digest


def test_the_device_of_a_detector_does_not_change_the_digest() -> None:
    assert load_recipe("demo", ["controls.depth.device=cpu"]).digest == load_recipe("demo").digest


@pytest.mark.parametrize(
    "change", [{"name": "x"}, {"description": "x"}, {"batch_size": 3}, {"memory": "low"}, {"compile": "on"}]
)
def test_settings_that_do_not_affect_images_do_not_change_the_digest(change: dict[str, Any]) -> None:
    assert changed_recipe(**change).digest == load_recipe("demo").digest


def test_sides_of_buckets_are_multiples_of_64_and_approximate_the_area() -> None:
    recipe = changed_recipe(area=512 * 512)
    assert recipe.buckets[0] == (512, 512)
    assert (576, 448) in recipe.buckets
    for width, height in recipe.buckets:
        assert width % SIDE == height % SIDE == 0
        assert width * height == pytest.approx(recipe.area, rel=0.16)


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ({"stepps": 3}, "stepps"),
        ({"steps": 1, "strength": 0.6}, r"1 steps .*0\.6"),
        ({"prompt": "{caption!r}"}, "{caption!r}"),
        ({"prompt": "{caption.__class__}"}, "{caption.__class__}"),
        ({"prompt": "{"}, "braces in '{'"),
        ({"prompt": "{a|b"}, r"braces in '{a\|b'"),
        ({"aspect_ratios": ["4x3"]}, "'4x3'"),
        ({"aspect_ratios": []}, "aspect_ratios"),
        ({"controls": []}, "controls"),
        ({"guidance": 0.5}, "guidance"),
        ({"background": "no color"}, "background"),
        ({"min_visible": 0}, "min_visible"),
        ({"loras": [{"name": "a/b", "file": "/etc/c.safetensors"}]}, "'/etc/c.safetensors'"),
        ({"loras": [{"name": "a/b", "file": ""}]}, r"loras\.0\.file"),
        ({"embeddings": [{"name": "a/b", "file": "../c.pt", "token": "<t>"}]}, r"'\.\./c\.pt'"),
        ({"base": {"name": "x", "file": "a.ckpt", "config": {"name": "y"}}}, r"a\.ckpt"),
        ({"base": {"name": "x", "file": "a.safetensors"}}, "file and config"),
        ({"embeddings": [{"name": "a", "token": "t"}, {"name": "b", "token": "t"}]}, r"token \(t, t\)"),
        ({"upscale": {"net": {"name": "x"}, "tile": 64, "overlap": 64}}, r"upscale\.overlap"),
        ({"upscale": {"net": {"name": "x"}, "strength": 0.01}}, r"strength 0\.01"),
        ({"deep_cache": 2, "guidance_end": 0.5}, "deep_cache"),
        ({"memory": "low", "compile": "on"}, "memory: low"),
    ],
)
def test_invalid_settings_are_refused(change: dict[str, Any], data: str) -> None:
    with pytest.raises(ValidationError, match=data) as caught:
        changed_recipe(**change)
    assert caught.value.error_count() == 1


def test_a_control_must_start_before_it_ends() -> None:
    control = load_recipe("demo").controls[0].model_dump()
    with pytest.raises(ValidationError, match=r"start \(0\.5\)"):
        changed_recipe(controls=[control | {"start": 0.5, "end": 0.5}])


def test_a_detector_may_appear_in_one_control_only() -> None:
    control = load_recipe("demo").controls[0].model_dump()
    with pytest.raises(ValidationError, match="canny, canny"):
        changed_recipe(controls=[control, control])


def test_the_digest_of_a_locked_recipe_does_not_depend_on_the_location_of_weights() -> None:
    sha256 = "e" * 64
    builtin, bucket = (
        changed_recipe(base={"name": name, "sha256": sha256}) for name in ("builtin:demo", "s3://models/demo")
    )
    assert builtin.digest == bucket.digest != changed_recipe(base={"name": "builtin:demo", "sha256": "f" * 64}).digest


def test_the_detector_of_the_region_is_the_last_detector() -> None:
    recipe = changed_recipe(mode="inpaint", region={"of": "subject"})
    assert [settings.name for settings in recipe.detectors] == ["canny", "openpose", "depth", "seg"]
    assert len(changed_recipe(mode="inpaint").detectors) == 3


def test_a_region_and_a_control_with_seg_must_have_equal_settings() -> None:
    seg = {"detector": {"name": "seg"}, "net": {"name": "builtin:demo/controlnet-depth"}}
    region = {"of": "subject", "detector": {"name": "seg", "weights": "other/model"}}
    with pytest.raises(ValidationError, match=r"region\.detector"):
        changed_recipe(mode="inpaint", region=region, controls=[seg])


def test_fit_people_requires_a_pose_detector() -> None:
    controls = [control.model_dump() for control in load_recipe("demo").controls]
    assert changed_recipe(fit="people").fit == "people"
    with pytest.raises(ValidationError, match="fit: people"):
        changed_recipe(fit="people", controls=controls[:1])


GPU_DETECTORS = {"openpose", "depth", "softedge", "scribble", "lineart", "lineart_anime", "normal", "seg"}


@pytest.mark.parametrize("kind", ALL_SETTINGS)
def test_detectors_that_gain_from_a_gpu_run_on_the_gpu(kind: type[Settings]) -> None:
    assert bool(recipe_of(kind()).gpu_detectors) == (kind.model_fields["name"].default in GPU_DETECTORS)


@pytest.mark.parametrize("settings", [ScribbleSettings(method="xdog"), LineartSettings(style="standard")])
def test_methods_without_a_network_run_on_the_cpu(settings: Settings) -> None:
    assert not recipe_of(settings).gpu_detectors


def test_device_cpu_keeps_a_detector_on_the_cpu() -> None:
    recipe = recipe_of(LineartSettings())
    control = recipe.controls[0].model_copy(update={"device": "cpu"})
    assert recipe.gpu_detectors == {"lineart"}
    assert not recipe.model_copy(update={"controls": (control,)}).gpu_detectors
