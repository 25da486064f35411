"""Finding the files of models, and computing their digests."""

import hashlib
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import ModelError, ModelNotFoundError
from pipeline.models.requirements import model_requirements
from pipeline.models.resolve import LocatedModel, locate
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe

CONTROLNET_FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def locate_base(recipe: Recipe) -> LocatedModel:
    return locate(next(requirement for requirement in model_requirements(recipe) if requirement.role == "base"))


def locate_controlnet(recipe: Recipe, number: int = 0) -> LocatedModel:
    requirements = [each for each in model_requirements(recipe) if each.role.startswith("controlnet-")]
    return locate(requirements[number])


def recipe_with_controlnet(name: str) -> Recipe:
    return load_recipe("demo", [f"controls.canny.net={{name: '{name}'}}"])


def test_the_shipped_models_are_complete_and_small(recipe: Recipe) -> None:
    base = locate_base(recipe)
    controlnets = [locate_controlnet(recipe, number) for number in range(3)]
    assert [model.folder.name for model in (base, *controlnets)] == [
        "base", "controlnet-canny", "controlnet-openpose", "controlnet-depth",
    ]  # fmt: skip
    assert sum(path.stat().st_size for model in (base, *controlnets) for path in model.files) <= 16e6


def test_error_for_an_unknown_built_in_model_lists_the_known_models() -> None:
    with pytest.raises(ModelNotFoundError, match="builtin:demo/controlnet-canny"):
        locate_controlnet(recipe_with_controlnet("builtin:demo/controlnet-seg"))


def test_error_names_the_missing_files_of_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match=r"diffusion_pytorch_model\*\.safetensors"):
        locate_controlnet(recipe_with_controlnet(str(tmp_path)))


def test_a_similar_file_name_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "diffusion_pytorch_models.bin").touch()
    with pytest.raises(ModelNotFoundError, match=r"diffusion_pytorch_models\.bin"):
        locate_controlnet(recipe_with_controlnet(str(tmp_path)))


def test_an_invalid_model_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match=r"model_index\.json"):
        locate_base(load_recipe("demo", [f"base={{name: {tmp_path}}}"]))


def test_a_bucket_folder_is_copied_to_the_cache(recipe: Recipe) -> None:
    shipped = locate_controlnet(recipe).folder
    for name in CONTROLNET_FILES:
        storage.put(f"memory://models/canny/{name}", (shipped / name).read_bytes())
    copy = locate_controlnet(recipe_with_controlnet("memory://models/canny"))
    for name in CONTROLNET_FILES:
        assert (copy.folder / name).read_bytes() == (shipped / name).read_bytes()


def test_a_changed_file_of_a_bucket_is_copied_again_even_if_its_size_is_equal(bucket: str) -> None:
    shipped = locate_controlnet(load_recipe("demo")).folder
    for name in CONTROLNET_FILES:
        storage.put(f"{bucket}/models/canny/{name}", (shipped / name).read_bytes())
    before = locate_controlnet(recipe_with_controlnet(f"{bucket}/models/canny")).digest()
    assert locate_controlnet(recipe_with_controlnet(f"{bucket}/models/canny")).digest() == before
    weights = (shipped / "diffusion_pytorch_model.safetensors").read_bytes()
    storage.put(f"{bucket}/models/canny/diffusion_pytorch_model.safetensors", weights[:-1] + b"?")
    assert locate_controlnet(recipe_with_controlnet(f"{bucket}/models/canny")).digest() != before


def test_the_digest_depends_on_weights_and_configuration(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"weights")
    controlnet = locate_controlnet(recipe_with_controlnet(str(tmp_path)))
    lines = [
        f"{hashlib.sha256(b'{}').hexdigest()}  config.json",
        f"{hashlib.sha256(b'weights').hexdigest()}  {weights.name}",
    ]
    before = controlnet.columns().sha256
    assert before == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert locate_controlnet(recipe_with_controlnet(str(tmp_path))).digest() != before
    base = locate_base(recipe)
    assert {"scheduler_config.json", "tokenizer_config.json", "model_index.json"} <= {path.name for path in base.files}
    assert base.digest() == locate_base(recipe).digest() != controlnet.digest()


def test_the_digest_of_a_single_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"weights")
    lora = {"name": str(tmp_path), "file": "lora.safetensors"}
    recipe = Recipe.model_validate(load_recipe("demo").model_dump() | {"loras": [lora]})
    (requirement,) = [each for each in model_requirements(recipe) if each.role == "lora-0"]
    assert locate(requirement).digest() == hashlib.sha256(b"weights").hexdigest()
