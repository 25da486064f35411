"""What a recipe needs: every place that names a model, and the files that are wanted of it."""

from pipeline.models.requirements import detector_requirements, model_requirements
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(load_recipe("sd15-anime").model_dump() | changes)


def test_every_place_that_names_a_model_is_a_need() -> None:
    whole = recipe(
        vae={"name": "madebyollin/taesd"},
        loras=[{"name": "a/b", "file": "c.safetensors"}],
        embeddings=[{"name": "d/e", "token": "<t>"}],
        ip_adapter={},
        upscale={"net": {"name": "lllyasviel/control_v11f1e_sd15_tile"}},
        safety={"policy": "flag"},
    )
    needs = {need.role: need for need in model_requirements(whole)}
    assert list(needs) == [
        "base", "vae", "controlnet-canny", "controlnet-openpose", "controlnet-depth", "controlnet-upscale", "lora-0",
        "embedding-<t>", "ip-adapter", "safety-checker",
    ]  # fmt: skip
    for need in needs.values():
        tree: object = whole.model_dump()
        for key in need.config_path:
            tree = tree[key]  # type: ignore[index]  # a tree of YAML
        assert tree["name"] == need.name  # type: ignore[index]  # as above
    assert needs["lora-0"].files == ("c.safetensors",)
    assert "unet/*.fp16*.safetensors" in needs["base"].files
    assert "models/image_encoder/*.safetensors" in needs["ip-adapter"].files


def test_a_checkpoint_in_one_file_needs_that_and_a_configuration() -> None:
    base = {"name": "a/b", "file": "anime.safetensors", "config": {"name": "c/d"}}
    first, second, *_ = model_requirements(recipe(base=base))
    assert (first.files, second.role, second.config_path) == (("anime.safetensors",), "config", ("base", "config"))
    assert not any(name.endswith(".safetensors") for name in second.files)


def test_maps_alone_need_detectors_alone() -> None:
    maps = recipe(mode="maps")
    assert model_requirements(maps) == []
    assert [need.name for _, need in detector_requirements(maps)] == [
        "lllyasviel/Annotators", "depth-anything/Depth-Anything-V2-Small-hf",
    ]  # fmt: skip


def test_a_regions_detector_is_needed_at_its_own_place() -> None:
    found = detector_requirements(recipe(mode="inpaint", region={"of": "subject"}))
    assert found[-1][1].config_path == ("region", "detector")


def test_what_cannot_change_is_pinned() -> None:
    (base, *nets) = model_requirements(recipe())
    assert not base.pinned
    assert all(net.pinned for net in nets)
    assert model_requirements(recipe(base={"name": "a/b", "sha256": "e" * 64}))[0].pinned
