"""The recipes sd15-anime and sd15-anime-fast with tiny models in the cache of the hub, from check to image."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.models.checks import check_models
from pipeline.models.requirements import model_requirements
from pipeline.models.resolve import SHIPPED, locate
from pipeline.recipes.load import load_recipe
from tests.hub import snapshot

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.mark.usefixtures("hub")
def test_sd15_anime_generates_an_image() -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    recipe = load_recipe("sd15-anime", ["area=4096", "steps=4"])
    assert check_models(recipe) == frozenset()
    base = next(each for each in model_requirements(recipe) if each.role == "base")
    assert locate(base).revision == "a" * 40  # the commit of the branch, which goes into provenance
    generator = ImageGenerator(recipe)
    request = GenerationRequest(*photo_and_maps(), recipe.prompt, recipe.negative_prompt, 1)
    (image,) = generator.generate([request])
    assert image.pixels is not None
    assert image.pixels.shape == (64, 64, 3)
    provenance = generator.made_by(request, image)
    revisions = ["a" * 40, *(control.net.revision for control in recipe.controls)]
    assert [model.revision for model in provenance.models] == revisions
    assert '"use_karras_sigmas": true' in provenance.scheduler_config


def test_sd15_anime_fast_runs_a_lora_in_few_steps_without_guidance(hub: Path) -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    write_lora(snapshot(hub, "latent-consistency/lcm-lora-sdv1-5", "main", "f" * 40))
    recipe = load_recipe("sd15-anime-fast", ["area=4096"])
    assert check_models(recipe) == frozenset()
    generator, batch_sizes = ImageGenerator(recipe), list[int]()
    unet = generator._passes[0].pipe.unet
    unet.register_forward_pre_hook(lambda _unet, arguments: batch_sizes.append(len(arguments[0])))
    request = GenerationRequest(*photo_and_maps(), recipe.prompt, recipe.negative_prompt, 1)
    (image,) = generator.generate([request])
    assert image.pixels is not None
    assert batch_sizes == [1] * 4  # 8 steps at strength 0.6, with the positive prompt only


def photo_and_maps() -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return photo, (photo,) * 3


def write_lora(folder: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(SHIPPED / "base" / "unet", dtype=torch.float32)
    unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
