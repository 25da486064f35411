"""The models that a recipe requires, and their files."""

from pipeline.models.requirements import detector_requirements, model_requirements
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(load_recipe("sd15-anime").model_dump() | changes)


def test_every_model_of_a_recipe_is_required() -> None:
    complete = recipe(
        vae={"name": "madebyollin/taesd"},
        loras=[{"name": "a/b", "file": "c.safetensors"}],
        embeddings=[{"name": "d/e", "token": "<t>"}],
        ip_adapter={},
        upscale={"net": {"name": "lllyasviel/control_v11f1e_sd15_tile"}},
        safety={"policy": "flag"},
    )
    requirements = {requirement.role: requirement for requirement in model_requirements(complete)}
    assert list(requirements) == [
        "base", "vae", "controlnet-canny", "controlnet-openpose", "controlnet-depth", "controlnet-upscale", "lora-0",
        "embedding-<t>", "ip-adapter", "safety-checker",
    ]  # fmt: skip
    for requirement in requirements.values():
        tree: object = complete.model_dump()
        for key in requirement.config_path:
            tree = tree[key]  # type: ignore[index]  # a tree of dictionaries and tuples
        assert tree["name"] == requirement.name  # type: ignore[index]  # as above
    assert requirements["lora-0"].files == ("c.safetensors",)
    assert "unet/*.fp16*.safetensors" in requirements["base"].files
    assert "models/image_encoder/*.safetensors" in requirements["ip-adapter"].files


def test_a_single_file_checkpoint_also_requires_a_configuration() -> None:
    base = {"name": "a/b", "file": "anime.safetensors", "config": {"name": "c/d"}}
    first, second, *_ = model_requirements(recipe(base=base))
    assert (first.files, second.role, second.config_path) == (("anime.safetensors",), "config", ("base", "config"))
    assert not any(name.endswith(".safetensors") for name in second.files)


def test_mode_maps_requires_only_detectors() -> None:
    maps = recipe(mode="maps")
    assert model_requirements(maps) == []
    assert [requirement.name for _, requirement in detector_requirements(maps)] == [
        "lllyasviel/Annotators", "depth-anything/Depth-Anything-V2-Small-hf",
    ]  # fmt: skip


def test_the_detector_of_a_region_is_required() -> None:
    requirements = detector_requirements(recipe(mode="inpaint", region={"of": "subject"}))
    assert requirements[-1][1].config_path == ("region", "detector")


def test_a_commit_or_a_digest_pins_a_model() -> None:
    base, *controlnets = model_requirements(recipe())
    assert not base.pinned
    assert all(controlnet.pinned for controlnet in controlnets)
    assert model_requirements(recipe(base={"name": "a/b", "sha256": "e" * 64}))[0].pinned
