"""Where weights are found, what is said when they are not, and what identifies them."""

import hashlib
import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import ModelError, RecipeError
from pipeline.models import resolve
from pipeline.models.checks import check_models, unpinned_models
from pipeline.models.requirements import model_requirements
from pipeline.models.resolve import LocatedModel, locate
from pipeline.recipes.load import load_recipe
from schemas.detectors import MediapipeSettings
from schemas.recipe import Recipe
from tests.conftest import recipe_of
from tests.hub import snapshot


def base_of(recipe: Recipe) -> LocatedModel:
    return locate(next(need for need in model_requirements(recipe) if need.role == "base"))


def net_of(recipe: Recipe, number: int = 0) -> LocatedModel:
    return locate([need for need in model_requirements(recipe) if need.role.startswith("controlnet-")][number])


def with_net(name: str) -> Recipe:
    return load_recipe("demo", [f"controls.canny.net={{name: '{name}'}}"])


def test_the_shipped_model_is_found_complete(recipe: Recipe) -> None:
    base = base_of(recipe)
    nets = [net_of(recipe, number) for number in range(3)]
    assert [path.name for path in (base.folder, *(net.folder for net in nets))] == [
        "base", "controlnet-canny", "controlnet-openpose", "controlnet-depth",
    ]  # fmt: skip
    assert sum(path.stat().st_size for each in (base, *nets) for path in each.files) <= 16e6


def test_a_shipped_model_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="builtin:demo/controlnet-canny"):
        net_of(with_net("builtin:demo/controlnet-seg"))


def test_a_scheduler_makes_the_steps_that_its_pass_makes() -> None:
    settings = ["scheduler.settings={use_beta_sigmas: true}", "steps=40"]  # its first two timesteps are one
    assert check_models(load_recipe("demo", settings)) == {"openpose", "depth"}  # img2img begins behind them
    with pytest.raises(RecipeError, match="does not take 40 steps so"):
        check_models(load_recipe("demo", [*settings, "mode=text2img"]))


def test_blank_where_allowed_and_a_fault_elsewhere(recipe: Recipe) -> None:
    assert check_models(recipe) == {"openpose", "depth"}
    strict = load_recipe("demo", ["controls.openpose.when_missing=fail"])
    with pytest.raises(ModelError, match=r"lllyasviel/Annotators@main.*It needs body_pose_model\.pth"):
        check_models(strict)


def test_a_region_is_never_found_on_a_blank_map() -> None:
    seg = {"detector": {"name": "seg"}, "net": {"name": "builtin:demo/controlnet-depth"}, "when_missing": "blank"}
    demo = load_recipe("demo").model_dump() | {"controls": [seg]}
    assert check_models(Recipe.model_validate(demo)) == {"seg"}
    inpaint = Recipe.model_validate(demo | {"mode": "inpaint", "region": {"of": "background"}})
    with pytest.raises(ModelError, match="neither in the hub's cache"):
        check_models(inpaint)


def test_a_folder_that_somebody_names_is_meant() -> None:
    with pytest.raises(ModelError, match=r"/nowhere: .* not found"):
        check_models(load_recipe("demo", ["controls.depth.detector.weights=/nowhere"]))


def test_what_the_manifest_brings_is_not_needed() -> None:
    strict = load_recipe("demo", ["controls.openpose.when_missing=fail"])
    assert check_models(strict, frozenset({"openpose"})) == {"depth"}


def test_a_real_recipe_without_a_hub_names_what_it_needs() -> None:
    with pytest.raises(
        ModelError, match=r"Lykon/AnyLoRA@main: neither in the hub's cache.*unet/\*\.fp16\*\.safetensors"
    ) as caught:
        check_models(load_recipe("sd15-anime"))
    assert "\n" not in str(caught.value)


def test_a_local_folder_that_lacks_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\*\.safetensors not found in"):
        net_of(with_net(str(tmp_path)))


def test_a_bucket_folder_is_copied_to_the_cache(recipe: Recipe) -> None:
    shipped = net_of(recipe).folder
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        storage.put(f"memory://models/canny/{name}", (shipped / name).read_bytes())
    found = net_of(with_net("memory://models/canny"))
    assert (found.folder / "diffusion_pytorch_model.safetensors").read_bytes() == (
        shipped / "diffusion_pytorch_model.safetensors"
    ).read_bytes()


def test_an_unknown_scheduler_setting_is_refused_before_work() -> None:
    recipe = load_recipe("demo", ["scheduler.settings={use_karas_sigmas: true}"])
    with pytest.raises(RecipeError, match="no setting 'use_karas_sigmas'.*use_karras_sigmas"):
        check_models(recipe)


def test_branches_are_named() -> None:
    assert unpinned_models(load_recipe("sd15-anime")) == [
        "Lykon/AnyLoRA@main", "lllyasviel/Annotators@main", "depth-anything/Depth-Anything-V2-Small-hf@main",
    ]  # fmt: skip
    pinned = load_recipe("demo", [f"controls.depth.detector.revision={'d' * 40}"])
    assert unpinned_models(pinned) == ["lllyasviel/Annotators@main"]
    assert unpinned_models(pinned, frozenset({"openpose"})) == []


def test_the_digest_is_of_weights_and_of_what_says_how_to_use_them(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"weights")
    net = net_of(with_net(str(tmp_path)))
    lines = [
        f"{hashlib.sha256(b'{}').hexdigest()}  config.json",
        f"{hashlib.sha256(b'weights').hexdigest()}  {weights.name}",
    ]
    before = net.as_row()["sha256"]
    assert before == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert net_of(with_net(str(tmp_path))).digest() != before
    base = base_of(recipe)
    assert {"scheduler_config.json", "tokenizer_config.json", "model_index.json"} <= {path.name for path in base.files}
    assert base.digest() == base_of(recipe).digest() != net.digest()


def test_the_digest_of_one_file_is_the_hubs(tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"weights")
    lora = {"name": str(tmp_path), "file": "lora.safetensors"}
    recipe = Recipe.model_validate(load_recipe("demo").model_dump() | {"loras": [lora]})
    (need,) = [need for need in model_requirements(recipe) if need.role == "lora-0"]
    assert locate(need).digest() == hashlib.sha256(b"weights").hexdigest()


def test_what_changes_in_a_bucket_is_copied_again_though_its_size_is_the_same(bucket: str) -> None:
    shipped = net_of(load_recipe("demo")).folder
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        storage.put(f"{bucket}/models/canny/{name}", (shipped / name).read_bytes())
    before = net_of(with_net(f"{bucket}/models/canny")).digest()
    assert net_of(with_net(f"{bucket}/models/canny")).digest() == before
    weights = (shipped / "diffusion_pytorch_model.safetensors").read_bytes()
    storage.put(f"{bucket}/models/canny/diffusion_pytorch_model.safetensors", weights[:-1] + b"?")
    assert net_of(with_net(f"{bucket}/models/canny")).digest() != before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["scheduler={name: LCMScheduler}", "steps=60"], "LCMScheduler does not take 60 steps so"),
        (["scheduler.settings={prediction_type: v-prediction}"], "does not take 12 steps so"),
        (
            ["scheduler={name: DDIMScheduler, settings: {clip_sample: true, clip_sample_range: abc}}"],
            "DDIMScheduler does not take",
        ),
        (["scheduler={name: DDIMScheduler, settings: {beta_start: 5}}"], "leaves the finite numbers"),
        (["scheduler={name: PNDMScheduler}"], "set skip_prk_steps: true"),
        (["clip_skip=8"], r"clip_skip 8: a text encoder of its base has \d layers. Leave out \d at most"),
        (["prompt=" + "(" * 17 + "sky" + ")" * 17], "prompt: .* lie more than 16 deep in each other"),
        (["negative_prompt=cat.swap(dog)"], r"negative_prompt: .*\.swap\(\) is not to be had"),
        (["scheduler={name: DDIMScheduler, settings: {clip_sample: no}}"], "clip_sample is 'no'. Write true or false"),
        (
            [
                "scheduler={name: UniPCMultistepScheduler, settings: {use_beta_sigmas: true}}",
                "steps=40",
                "mode=text2img",
            ],
            "does not take 40 steps so",
        ),
        (
            ["scheduler={name: DPMSolverMultistepScheduler, settings: {algorithm_type: sde-dpmsolver-typo}}"],
            "sde-dpmsolver-typo",
        ),
        (
            ["scheduler.settings={use_karras_sigmas: true, use_exponential_sigmas: true}"],
            "DPMSolverMultistepScheduler does not take 12 steps so",
        ),
        (["ip_adapter={name: /none, reference: /nowhere.png}"], "ip_adapter.reference /nowhere.png: not found"),
    ],
)
def test_what_would_fail_in_the_first_picture_is_refused_before_work(settings: list[str], said: str) -> None:
    with pytest.raises((RecipeError, ModelError), match=said):
        check_models(load_recipe("demo", settings))


@pytest.mark.parametrize(
    "settings", [["mode=img2img"], ["mode=inpaint", "upscale={net: {name: builtin:demo/controlnet-canny}}"]]
)
def test_a_base_made_for_inpainting_is_refused_elsewhere(tmp_path: Path, settings: list[str]) -> None:
    shutil.copytree(resolve.SHIPPED / "base", tmp_path / "base")
    path = tmp_path / "base" / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": 9}))
    with pytest.raises(RecipeError, match="its base was made for inpainting alone"):
        check_models(load_recipe("demo", [f"base={{name: {tmp_path / 'base'}}}", *settings]))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"cross_attention_dim": 48}', "text width of 48, the base .Stable Diffusion 1 or 2. has 32"),
        ("{", "is no configuration"),
    ],
)
def test_a_net_of_another_family_is_refused_before_work(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    with pytest.raises(ModelError, match=said):
        check_models(load_recipe("demo", [f"controls.canny.net={{name: {tmp_path}}}"]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("hub")
def test_sd15_anime_loads_from_the_hubs_cache_and_draws() -> None:
    import numpy as np

    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    anime = load_recipe("sd15-anime", ["area=4096", "steps=4"])
    assert check_models(anime) == frozenset()
    assert base_of(anime).revision == "a" * 40  # the branch's commit goes into provenance
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    subject = ImageGenerator(anime)
    request = GenerationRequest(photo, (photo,) * 3, anime.prompt, anime.negative_prompt, 1)
    (drawing,) = subject.generate([request])
    assert drawing.pixels is not None
    assert drawing.pixels.shape == (64, 64, 3)
    made = subject.made_by(request, drawing)
    assert [model["revision"] for model in made["models"]] == [
        "a" * 40,
        *(each.net.revision for each in anime.controls),
    ]
    assert '"use_karras_sigmas": true' in made["scheduler_config"]


@pytest.mark.filterwarnings("ignore")
def test_sd15_anime_fast_adds_a_lora_and_few_steps_without_guidance(hub: Path, recipe: Recipe) -> None:
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict

    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    unet = UNet2DConditionModel.from_pretrained(base_of(recipe).folder / "unet", dtype=torch.float32)
    unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(
        snapshot(hub, "latent-consistency/lcm-lora-sdv1-5", "main", "f" * 40),
        unet_lora_layers=get_peft_model_state_dict(unet),
    )
    fast = load_recipe("sd15-anime-fast", ["area=4096"])
    assert check_models(fast) == frozenset()
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    subject, calls = ImageGenerator(fast), list[int]()
    subject._passes[0].pipe.unet.register_forward_pre_hook(lambda _unet, given: calls.append(len(given[0])))
    (drawing,) = subject.generate([GenerationRequest(photo, (photo,) * 3, fast.prompt, fast.negative_prompt, 1)])
    assert drawing.pixels is not None
    assert calls == [1] * 4  # eight steps at strength 0.6, for the prompt alone


def test_a_cache_that_lacks_a_file_names_it(hub: Path) -> None:
    next(hub.glob("models--lllyasviel--control_v11f1p_sd15_depth/snapshots/*/*.safetensors")).unlink()
    with pytest.raises(ModelError, match=r"sd15_depth: diffusion_pytorch_model\*\.fp16\*\.safetensors not found"):
        check_models(load_recipe("sd15-anime"))


def test_maps_alone_need_neither_base_nor_nets(recipe: Recipe) -> None:
    far = recipe.model_copy(update={"base": recipe.base.model_copy(update={"name": "/none"}), "mode": "maps"})
    assert check_models(far) == {"openpose", "depth"}
    assert unpinned_models(far, frozenset({"openpose", "depth"})) == []


def test_a_detector_whose_library_is_not_installed_is_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("pipeline.models.checks.version", absent)
    posed = recipe_of(MediapipeSettings(), mode="maps")
    control = posed.controls[0].model_copy(update={"when_missing": "blank"})  # that is for weights
    with pytest.raises(ModelError, match=r"mediapipe is not installed.*pip install 'photo2anime\[pose\]'"):
        check_models(posed.model_copy(update={"controls": (control,)}))


def test_weights_in_a_bucket_that_is_not_there_may_be_blank(bucket: str) -> None:
    gone = recipe_of(MediapipeSettings(weights=f"{bucket}-gone/landmarker"), mode="maps")
    with pytest.raises(ModelError, match="landmarker"):
        check_models(gone)
    control = gone.controls[0].model_copy(update={"when_missing": "blank"})
    assert check_models(gone.model_copy(update={"controls": (control,)})) == {"mediapipe"}
