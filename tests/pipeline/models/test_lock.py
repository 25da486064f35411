"""Locking recipes: commits and digests of all models are written into the file, and comments are preserved."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ModelDigestError, ModelNotFoundError
from pipeline.models.checks import check_models, unpinned_models
from pipeline.models.lock import LockedRecipe, edit_recipe_text, lock_models
from pipeline.models.resolve import SHIPPED
from pipeline.recipes.load import load_recipe, recipe_text

pytestmark = pytest.mark.filterwarnings("ignore")


def lock(name: str, *settings: str) -> tuple[LockedRecipe, str]:
    locked = lock_models(name, settings, ignore_lock=True)
    return locked, edit_recipe_text(name, settings, locked.keys)


@pytest.mark.usefixtures("hub")
def test_models_of_the_hub_are_locked_by_commit_and_digest(tmp_path: Path) -> None:
    _, text = lock("sd15-anime")
    path = tmp_path / "anime.yaml"
    path.write_text(text)
    recipe, shipped = load_recipe(str(path)), load_recipe("sd15-anime")
    assert unpinned_models(recipe) == []
    assert recipe.base.revision == "a" * 40
    assert [control.detector.model_dump().get("revision") for control in recipe.controls] == [None, "b" * 40, "c" * 40]
    models = [recipe.base, *(control.net for control in recipe.controls)]
    assert all(len(model.sha256 or "") == 64 for model in models)
    assert check_models(recipe) == frozenset()
    before = recipe_text("sd15-anime").splitlines()
    assert text.startswith(before[0])  # a comment
    changed = [line for line in before if line and line not in text.splitlines()]
    assert changed == ["  revision: main", *(line for line in changed[1:] if "detector" in line)]
    locked_keys = {"base", "controls"}
    assert recipe.model_dump(exclude=locked_keys) == shipped.model_dump(exclude=locked_keys)


@pytest.mark.usefixtures("hub")
def test_changed_weights_are_refused_until_the_recipe_is_locked_again(hub: Path, tmp_path: Path) -> None:
    path = tmp_path / "anime.yaml"
    path.write_text(lock("sd15-anime")[1])
    weights = next(hub.glob("models--lllyasviel--control_v11f1p_sd15_depth/snapshots/*/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelDigestError):
        check_models(load_recipe(str(path)))
    with pytest.raises(ModelDigestError):
        lock_models(str(path))
    path.write_text(lock(str(path))[1])
    assert check_models(load_recipe(str(path))) == frozenset()


def test_the_digest_of_a_locked_recipe_does_not_depend_on_the_location_of_weights(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "controlnet-canny", tmp_path / "canny")
    digests = set()
    for number, name in enumerate((str(tmp_path / "canny"), "builtin:demo/controlnet-canny")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(lock("demo", f"controls.canny.net.name={name}")[1])
        digests.add(load_recipe(str(path)).digest)
    assert len(digests) == 1


def test_a_changed_configuration_is_refused_by_a_locked_recipe(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "base", tmp_path / "base")
    path = tmp_path / "locked.yaml"
    path.write_text(lock("demo", f"base.name={tmp_path / 'base'}")[1])
    assert check_models(load_recipe(str(path))) == {"openpose", "depth"}
    config = tmp_path / "base" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prediction_type": "v_prediction"}))
    with pytest.raises(ModelDigestError):
        check_models(load_recipe(str(path)))


def test_changed_detector_weights_are_not_treated_as_missing(weights_of: Callable[[str], Path]) -> None:
    settings = [f"controls.depth.detector.weights={weights_of('depth')}", f"controls.depth.detector.sha256={'a' * 64}"]
    with pytest.raises(ModelDigestError, match="aaaa"):
        lock_models("demo", settings)
    assert [missing.role for missing in lock_models("demo", settings, ignore_lock=True).missing] == ["openpose"]


def test_a_recipe_of_maps_does_not_use_its_reference_image(tmp_path: Path) -> None:
    text = edit_recipe_text("demo", ["mode=maps", f"ip_adapter={{name: x, reference: {tmp_path}/none.png}}"], {})
    (tmp_path / "maps.yaml").write_text(text)
    assert lock_models(str(tmp_path / "maps.yaml")).reference_sha256 is None


def test_missing_weights_are_not_locked_if_maps_may_be_blank() -> None:
    locked, text = lock("demo")
    assert [missing.role for missing in locked.missing] == ["openpose", "depth"]
    assert "sha256" not in yaml.safe_load(text)["controls"][1]["detector"]
    with pytest.raises(ModelNotFoundError, match="lllyasviel/Annotators"):
        lock_models("demo", ["controls.openpose.when_missing=fail"])


def test_a_detector_that_finds_the_region_is_pinned_too(tmp_path: Path) -> None:
    from tests.tiny_detectors import write_seg

    write_seg(tmp_path / "seg")
    recipe = yaml.safe_load(recipe_text("demo")) | {"mode": "inpaint", "region": {"of": "subject"}}
    seg = {"weights": str(tmp_path / "seg")}
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump(recipe | {"region": {"of": "subject", "detector": seg}}))
    assert "sha256" in yaml.safe_load(lock(str(alone))[1])["region"]["detector"]
    both = tmp_path / "both.yaml"
    control = {"detector": seg | {"name": "seg"}, "net": {"name": "builtin:demo/controlnet-depth"}}
    recipe |= {"controls": [control], "region": {"of": "subject", "detector": seg}}
    both.write_text(yaml.safe_dump(recipe))
    tree = yaml.safe_load(lock(str(both))[1])
    assert tree["region"]["detector"]["sha256"] == tree["controls"][0]["detector"]["sha256"]


def test_the_configuration_of_a_single_file_checkpoint_is_locked(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SHIPPED / "base", tmp_path / "base")
    shutil.copy2(
        SHIPPED / "base" / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "base" / "whole.safetensors"
    )
    base = f"{{name: {tmp_path / 'base'}, file: whole.safetensors, config: {{name: {tmp_path / 'base'}}}}}"
    tree = yaml.safe_load(lock("demo", f"base={base}")[1])
    assert len({tree["base"]["sha256"], tree["base"]["config"]["sha256"]}) == 2
