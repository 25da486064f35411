"""Locking: commits and digests of all that a recipe names, in its own file, with its comments."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ModelError
from pipeline.models.checks import check_models, unpinned_models
from pipeline.models.lock import LockedRecipe, edit_recipe_text, lock_models
from pipeline.models.resolve import SHIPPED
from pipeline.recipes.load import load_recipe, recipe_text

pytestmark = pytest.mark.filterwarnings("ignore")


def locked(name: str, *settings: str) -> tuple[LockedRecipe, str]:
    pinned = lock_models(name, settings, anew=True)
    return pinned, edit_recipe_text(name, settings, pinned.keys)


@pytest.mark.usefixtures("hub")
def test_all_that_the_hub_gives_is_pinned_by_commit_and_digest(tmp_path: Path) -> None:
    _, text = locked("sd15-anime")
    path = tmp_path / "anime.yaml"
    path.write_text(text)
    recipe, open_one = load_recipe(str(path)), load_recipe("sd15-anime")
    assert unpinned_models(recipe) == []
    assert recipe.base.revision == "a" * 40
    assert [control.detector.model_dump().get("revision") for control in recipe.controls] == [None, "b" * 40, "c" * 40]
    models = [recipe.base, *(control.net for control in recipe.controls)]
    assert all(len(model.sha256 or "") == 64 for model in models)
    assert check_models(recipe) == frozenset()
    assert text.startswith(recipe_text("sd15-anime").splitlines()[0])  # its comment
    kept = [line for line in recipe_text("sd15-anime").splitlines() if line and line not in text.splitlines()]
    assert kept == ["  revision: main", *(line for line in kept[1:] if "detector" in line)]  # nothing else has changed
    same = {"base", "controls"}
    assert recipe.model_dump(exclude=same) == open_one.model_dump(exclude=same)


@pytest.mark.usefixtures("hub")
def test_other_weights_are_refused_until_it_is_locked_anew(hub: Path, tmp_path: Path) -> None:
    path = tmp_path / "anime.yaml"
    path.write_text(locked("sd15-anime")[1])
    weights = next(hub.glob("models--lllyasviel--control_v11f1p_sd15_depth/snapshots/*/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    for refused in (lambda: check_models(load_recipe(str(path))), lambda: lock_models(str(path))):  # a run, and pulling
        with pytest.raises(ModelError, match=r"the recipe is locked to.*photo2anime recipes lock"):
            refused()
    path.write_text(locked(str(path))[1])
    assert check_models(load_recipe(str(path))) == frozenset()


def test_where_weights_lie_is_no_matter_once_they_are_known(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "controlnet-canny", tmp_path / "canny")
    digests = set()
    for number, name in enumerate((str(tmp_path / "canny"), "builtin:demo/controlnet-canny")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(locked("demo", f"controls.canny.net.name={name}")[1])
        digests.add(load_recipe(str(path)).digest)
    assert len(digests) == 1


def test_a_locked_recipe_refuses_the_same_weights_with_another_configuration(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "base", tmp_path / "base")
    path = tmp_path / "locked.yaml"
    path.write_text(locked("demo", f"base.name={tmp_path / 'base'}")[1])
    assert check_models(load_recipe(str(path))) == {"openpose", "depth"}
    config = tmp_path / "base" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prediction_type": "v_prediction"}))
    with pytest.raises(ModelError, match="the recipe is locked to"):
        check_models(load_recipe(str(path)))


def test_other_weights_are_not_missing_ones(tmp_path: Path, weights_of: Callable[[str], Path]) -> None:
    settings = [f"controls.depth.detector.weights={weights_of('depth')}", f"controls.depth.detector.sha256={'a' * 64}"]
    with pytest.raises(ModelError, match="the recipe is locked to aaaa"):
        lock_models("demo", settings)
    assert lock_models("demo", settings, anew=True).missing[-1].role == "openpose"
    text = edit_recipe_text("demo", ["mode=maps", f"ip_adapter={{name: x, reference: {tmp_path}/none.png}}"], {})
    (tmp_path / "maps.yaml").write_text(text)
    assert lock_models(str(tmp_path / "maps.yaml")).reference_sha256 is None  # maps know no reference


def test_what_may_be_blank_and_is_missing_is_left_open() -> None:
    pinned, text = locked("demo")
    assert [need.role for need in pinned.missing] == ["openpose", "depth"]
    assert "sha256" not in yaml.safe_load(text)["controls"][1]["detector"]
    with pytest.raises(ModelError, match="lllyasviel/Annotators"):
        lock_models("demo", ["controls.openpose.when_missing=fail"])


def test_a_detector_that_finds_the_region_is_pinned_too(tmp_path: Path) -> None:
    from tests.tiny_detectors import write_seg

    write_seg(tmp_path / "seg")
    recipe = yaml.safe_load(recipe_text("demo")) | {"mode": "inpaint", "region": {"of": "subject"}}
    seg = {"weights": str(tmp_path / "seg")}
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump(recipe | {"region": {"of": "subject", "detector": seg}}))
    assert "sha256" in yaml.safe_load(locked(str(alone))[1])["region"]["detector"]
    both = tmp_path / "both.yaml"
    control = {"detector": seg | {"name": "seg"}, "net": {"name": "builtin:demo/controlnet-depth"}}
    recipe |= {"controls": [control], "region": {"of": "subject", "detector": seg}}
    both.write_text(yaml.safe_dump(recipe))
    tree = yaml.safe_load(locked(str(both))[1])
    assert tree["region"]["detector"]["sha256"] == tree["controls"][0]["detector"]["sha256"]


def test_a_configuration_of_one_file_of_weights_is_pinned_too(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "base", tmp_path / "base")
    shutil.copy2(
        SHIPPED / "base" / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "base" / "whole.safetensors"
    )
    base = f"{{name: {tmp_path / 'base'}, file: whole.safetensors, config: {{name: {tmp_path / 'base'}}}}}"
    tree = yaml.safe_load(locked("demo", f"base={base}")[1])
    assert len({tree["base"]["sha256"], tree["base"]["config"]["sha256"]}) == 2
