"""Checks of models before a run: missing files, blank maps, incompatible models, and unsupported settings."""

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pipeline.errors import (
    BaseMismatchError,
    MissingPackageError,
    ModelError,
    ModelMismatchError,
    ModelNotFoundError,
    RecipePromptError,
)
from pipeline.models.checks import check_models, unpinned_models
from pipeline.models.resolve import SHIPPED
from pipeline.recipes.load import load_recipe
from schemas.detectors import MediapipeSettings
from schemas.recipe import Recipe
from tests.conftest import recipe_of


def test_missing_detector_weights_give_blank_maps_only_if_the_recipe_allows_it(recipe: Recipe) -> None:
    assert check_models(recipe) == {"openpose", "depth"}
    strict = load_recipe("demo", ["controls.openpose.when_missing=fail"])
    with pytest.raises(ModelNotFoundError, match=r"lllyasviel/Annotators@main.*body_pose_model\.pth"):
        check_models(strict)


def test_maps_of_the_detector_of_a_region_are_never_blank() -> None:
    seg = {"detector": {"name": "seg"}, "net": {"name": "builtin:demo/controlnet-depth"}, "when_missing": "blank"}
    demo = load_recipe("demo").model_dump() | {"controls": [seg]}
    assert check_models(Recipe.model_validate(demo)) == {"seg"}
    inpaint = Recipe.model_validate(demo | {"mode": "inpaint", "region": {"of": "background"}})
    with pytest.raises(ModelNotFoundError, match="openmmlab/upernet-convnext-small"):
        check_models(inpaint)


def test_a_missing_local_folder_is_an_error_even_if_blank_maps_are_allowed() -> None:
    with pytest.raises(ModelNotFoundError, match="/nowhere"):
        check_models(load_recipe("demo", ["controls.depth.detector.weights=/nowhere"]))


def test_a_missing_bucket_folder_gives_blank_maps_if_the_recipe_allows_it(bucket: str) -> None:
    recipe = recipe_of(MediapipeSettings(weights=f"{bucket}-gone/landmarker"), mode="maps")
    with pytest.raises(ModelNotFoundError, match="landmarker"):
        check_models(recipe)
    control = recipe.controls[0].model_copy(update={"when_missing": "blank"})
    assert check_models(recipe.model_copy(update={"controls": (control,)})) == {"mediapipe"}


def test_detectors_whose_maps_are_provided_are_not_checked() -> None:
    strict = load_recipe("demo", ["controls.openpose.when_missing=fail"])
    assert check_models(strict, frozenset({"openpose"})) == {"depth"}


def test_the_error_of_a_missing_hub_model_names_its_files_in_one_line() -> None:
    with pytest.raises(ModelNotFoundError, match=r"Lykon/AnyLoRA@main.*unet/\*\.fp16\*\.safetensors") as caught:
        check_models(load_recipe("sd15-anime"))
    assert "\n" not in str(caught.value)


def test_the_error_of_an_incomplete_hub_cache_names_the_missing_file(hub: Path) -> None:
    next(hub.glob("models--lllyasviel--control_v11f1p_sd15_depth/snapshots/*/*.safetensors")).unlink()
    with pytest.raises(ModelNotFoundError, match=r"sd15_depth: diffusion_pytorch_model\*\.fp16\*\.safetensors"):
        check_models(load_recipe("sd15-anime"))


def test_a_missing_reference_image_is_refused() -> None:
    with pytest.raises(ModelNotFoundError, match=r"/nowhere\.png"):
        check_models(load_recipe("demo", ["ip_adapter={name: /none, reference: /nowhere.png}"]))


def test_mode_maps_does_not_require_a_base_model(recipe: Recipe) -> None:
    base = recipe.base.model_copy(update={"name": "/none"})
    maps_only = recipe.model_copy(update={"base": base, "mode": "maps"})
    assert check_models(maps_only) == {"openpose", "depth"}
    assert unpinned_models(maps_only, frozenset({"openpose", "depth"})) == []


def test_models_at_a_branch_are_listed_as_unpinned() -> None:
    assert unpinned_models(load_recipe("sd15-anime")) == [
        "Lykon/AnyLoRA@main", "lllyasviel/Annotators@main", "depth-anything/Depth-Anything-V2-Small-hf@main",
    ]  # fmt: skip
    pinned = load_recipe("demo", [f"controls.depth.detector.revision={'d' * 40}"])
    assert unpinned_models(pinned) == ["lllyasviel/Annotators@main"]
    assert unpinned_models(pinned, frozenset({"openpose"})) == []


def test_a_controlnet_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    (tmp_path / "config.json").write_text('{"cross_attention_dim": 48}')
    with pytest.raises(ModelMismatchError, match="48.*Stable Diffusion 1 or 2.*32"):
        check_models(load_recipe("demo", [f"controls.canny.net={{name: {tmp_path}}}"]))


def test_a_controlnet_with_an_invalid_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json") as caught:
        check_models(load_recipe("demo", [f"controls.canny.net={{name: {tmp_path}}}"]))
    assert caught.value.code == "model.invalid"


@pytest.mark.parametrize(
    "settings", [["mode=img2img"], ["mode=inpaint", "upscale={net: {name: builtin:demo/controlnet-canny}}"]]
)
def test_an_inpainting_base_is_refused_in_other_modes(tmp_path: Path, settings: list[str]) -> None:
    shutil.copytree(SHIPPED / "base", tmp_path / "base")
    path = tmp_path / "base" / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": 9}))
    with pytest.raises(BaseMismatchError):
        check_models(load_recipe("demo", [f"base={{name: {tmp_path / 'base'}}}", *settings]))


def test_clip_skip_cannot_exceed_the_layers_of_the_text_encoder() -> None:
    with pytest.raises(BaseMismatchError, match=r"clip_skip is 8.* \d layers.* \d\."):
        check_models(load_recipe("demo", ["clip_skip=8"]))


@pytest.mark.parametrize(
    ("setting", "data"),
    [
        ("prompt=" + "(" * 17 + "sky" + ")" * 17, r"demo: prompt: .*\b16\b"),
        ("negative_prompt=cat.swap(dog)", r"demo: negative_prompt: .*\.swap\(\)"),
    ],
)
def test_invalid_prompt_weights_are_refused(setting: str, data: str) -> None:
    with pytest.raises(RecipePromptError, match=data):
        check_models(load_recipe("demo", [setting]))


def test_a_missing_package_of_a_detector_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def version_of_missing_package(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("pipeline.models.checks.version", version_of_missing_package)
    recipe = recipe_of(MediapipeSettings(), mode="maps")
    control = recipe.controls[0].model_copy(update={"when_missing": "blank"})  # applies to weights, not to packages
    with pytest.raises(MissingPackageError, match=r"mediapipe .*pip install 'photo2anime\[pose\]'"):
        check_models(recipe.model_copy(update={"controls": (control,)}))
