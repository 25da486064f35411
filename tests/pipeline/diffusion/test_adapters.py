"""Tests of LoRAs, textual inversions and IP-Adapters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GeneratedImage
from pipeline.errors import ModelError, ModelMismatchError
from tests.tiny import WIDTH, pixel_difference, tiny_recipe, tiny_requests, write_ip_adapter

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def generate(folder: Path, prompt: str = "anime style", **changes: Any) -> GeneratedImage:
    (request,) = tiny_requests(1)
    (image,) = ImageGenerator(tiny_recipe(folder, **changes)).generate([replace(request, prompt=prompt)])
    return image


def write_lora(base: Path, folder: Path, seed: int) -> dict[str, str]:
    """Write a LoRA of the UNet with random weights, and return its settings for a recipe."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    torch.manual_seed(seed)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return {"name": str(folder)}


def test_loras_are_weighted_and_added(sd: Path, tmp_path: Path) -> None:
    first, second = (write_lora(sd / "base", tmp_path / str(seed), seed) for seed in (1, 2))
    without = generate(sd)
    with_first = generate(sd, loras=[first])
    assert pixel_difference(without, with_first) > 2
    assert pixel_difference(generate(sd, loras=[first | {"weight": 0.0}]), without) <= 1
    assert pixel_difference(generate(sd, loras=[first, second]), with_first) > 2
    assert pixel_difference(generate(sd, loras=[first, second | {"weight": 0.0}]), with_first) <= 1


def test_a_lora_is_fused_and_recorded_in_provenance(sd: Path, tmp_path: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd, loras=[write_lora(sd / "base", tmp_path, 1)]))
    assert not any("lora" in name for name, _ in generator._passes[0].pipe.unet.named_modules())
    (request,) = tiny_requests(1)
    roles = [model.role for model in generator.made_by(request, GeneratedImage(None, 1)).models]
    assert roles == ["base", "controlnet-canny", "lora-0"]


def test_a_file_name_is_not_a_glob_pattern(sd: Path, tmp_path: Path) -> None:
    lora = write_lora(sd / "base", tmp_path, 1) | {"file": "style [v2].safetensors"}
    (tmp_path / "pytorch_lora_weights.safetensors").rename(tmp_path / lora["file"])
    assert pixel_difference(generate(sd, loras=[lora]), generate(sd)) > 2


def test_an_image_encoder_of_another_width_is_rejected(sd: Path, tmp_path: Path) -> None:
    adapter = write_ip_adapter(sd / "base", tmp_path)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=24,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "models" / "image_encoder")
    with pytest.raises(ModelMismatchError, match="16.*models/image_encoder.*24"):
        generate(sd, ip_adapter=adapter)


def test_a_lora_of_another_family_is_rejected(sd: Path, tmp_path: Path) -> None:
    save_file({"transformer.blocks.0.to_q.lora_A.weight": torch.ones(2, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError):
        generate(sd, loras=[{"name": str(tmp_path), "file": "other.safetensors"}])


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_textual_inversion_changes_only_images_whose_prompt_has_its_token(
    sd: Path, tmp_path: Path, vectors: int
) -> None:
    torch.manual_seed(3)
    save_file({"emb_params": torch.randn(vectors, WIDTH)}, tmp_path / "learned_embeds.safetensors")
    embeddings = [{"name": str(tmp_path), "token": "<moody>"}]
    assert pixel_difference(generate(sd, "anime <moody>", embeddings=embeddings), generate(sd, "anime <moody>")) > 1
    assert pixel_difference(generate(sd, "anime", embeddings=embeddings), generate(sd, "anime")) == 0


def test_a_textual_inversion_for_sdxl_has_vectors_for_both_text_encoders(
    families: dict[str, Path], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    state = {"clip_l": torch.randn(2, WIDTH), "clip_g": torch.randn(2, WIDTH)}
    save_file(state, tmp_path / "learned_embeds.safetensors")
    embeddings = [{"name": str(tmp_path), "token": "<moody>"}]
    folder = families["sdxl"]
    assert (
        pixel_difference(generate(folder, "anime <moody>", embeddings=embeddings), generate(folder, "anime <moody>"))
        > 0
    )
    save_file({"emb_params": torch.randn(2, WIDTH)}, tmp_path / "learned_embeds.safetensors")
    with pytest.raises(ModelMismatchError, match="emb_params"):
        generate(folder, embeddings=embeddings)


@pytest.mark.parametrize("changes", [{}, {"guidance": 1.0}, {"guidance_end": 0.5, "strength": 1.0}])
def test_an_ip_adapter_uses_the_reference_of_each_image(sd: Path, tmp_path: Path, changes: dict[str, float]) -> None:
    generator = ImageGenerator(tiny_recipe(sd, ip_adapter=write_ip_adapter(sd / "base", tmp_path), **changes))
    generator.resize(2)
    random = np.random.default_rng(1)
    red, noise = np.full((40, 60, 3), (255, 0, 0), np.uint8), random.integers(0, 256, (50, 50, 3), np.uint8)
    requests = tiny_requests(2)
    different = generator.generate([replace(requests[0], reference=red), replace(requests[1], reference=noise)])
    same = generator.generate([replace(requests[0], reference=noise), replace(requests[1], reference=noise)])
    assert pixel_difference(different[0], same[0]) > 1
    assert pixel_difference(different[1], same[1]) <= 1
    with pytest.raises(ValueError, match="reference"):
        generator.generate(requests)
