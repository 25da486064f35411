"""LoRAs, textual inversions, IP-Adapters: heard, at their weight, and nothing but weights is read."""

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
from pipeline.errors import ModelError
from tests.tiny import WIDTH, apart, asked, tiny_recipe, write_ip_adapter

pytestmark = pytest.mark.filterwarnings("ignore")


def draw(folder: Path, prompt: str = "anime style", **changes: Any) -> GeneratedImage:
    (request,) = asked(1)
    (drawing,) = ImageGenerator(tiny_recipe(folder, **changes)).generate([replace(request, prompt=prompt)])
    return drawing


def write_lora(base: Path, folder: Path, seed: int) -> dict[str, str]:
    """Write a LoRA of the UNet that is not nothing; return how a recipe names it."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    torch.manual_seed(seed)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return {"name": str(folder)}


def test_loras_are_heard_by_their_weight_and_add_up(sd: Path, tmp_path: Path) -> None:
    one, two = (write_lora(sd / "base", tmp_path / str(seed), seed) for seed in (1, 2))
    plain = draw(sd)
    heavy = draw(sd, loras=[one])
    assert apart(plain, heavy) > 2
    assert apart(draw(sd, loras=[one | {"weight": 0.0}]), plain) <= 1
    assert apart(draw(sd, loras=[one, two]), heavy) > 2
    assert apart(draw(sd, loras=[one, two | {"weight": 0.0}]), heavy) <= 1


def test_a_lora_is_fused_and_named_in_provenance(sd: Path, tmp_path: Path) -> None:
    subject = ImageGenerator(tiny_recipe(sd, loras=[write_lora(sd / "base", tmp_path, 1)]))
    assert not any("lora" in name for name, _ in subject._passes[0].pipe.unet.named_modules())
    (request,) = asked(1)
    roles = [model["role"] for model in subject.made_by(request, GeneratedImage(None, 1))["models"]]
    assert roles == ["base", "controlnet-canny", "lora-0"]


def test_a_files_name_is_a_name_and_no_pattern(sd: Path, tmp_path: Path) -> None:
    lora = write_lora(sd / "base", tmp_path, 1) | {"file": "style [v2].safetensors"}
    (tmp_path / "pytorch_lora_weights.safetensors").rename(tmp_path / lora["file"])
    assert apart(draw(sd, loras=[lora]), draw(sd)) > 2


def test_an_image_encoder_of_another_width_is_refused(sd: Path, tmp_path: Path) -> None:
    adapter = write_ip_adapter(sd / "base", tmp_path)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=24,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "models" / "image_encoder")
    with pytest.raises(ModelError, match="made for an image encoder of width 16. models/image_encoder has 24"):
        draw(sd, ip_adapter=adapter)


def test_a_lora_of_another_family_is_refused(sd: Path, tmp_path: Path) -> None:
    save_file({"transformer.blocks.0.to_q.lora_A.weight": torch.ones(2, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="other.safetensors|cannot be loaded"):
        draw(sd, loras=[{"name": str(tmp_path), "file": "other.safetensors"}])


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_textual_inversion_is_heard_where_its_token_stands(sd: Path, tmp_path: Path, vectors: int) -> None:
    torch.manual_seed(3)
    save_file({"emb_params": torch.randn(vectors, WIDTH)}, tmp_path / "learned_embeds.safetensors")
    embeddings = [{"name": str(tmp_path), "token": "<moody>"}]
    assert apart(draw(sd, "anime <moody>", embeddings=embeddings), draw(sd, "anime <moody>")) > 1
    assert apart(draw(sd, "anime", embeddings=embeddings), draw(sd, "anime")) == 0


def test_one_for_sdxl_has_vectors_for_both_text_encoders(families: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(3)
    both = {"clip_l": torch.randn(2, WIDTH), "clip_g": torch.randn(2, WIDTH)}
    save_file(both, tmp_path / "learned_embeds.safetensors")
    embeddings = [{"name": str(tmp_path), "token": "<moody>"}]
    folder = families["sdxl"]
    assert apart(draw(folder, "anime <moody>", embeddings=embeddings), draw(folder, "anime <moody>")) > 0
    save_file({"emb_params": torch.randn(2, WIDTH)}, tmp_path / "learned_embeds.safetensors")
    with pytest.raises(ModelError, match="clip_l and clip_g"):
        draw(folder, embeddings=embeddings)


@pytest.mark.parametrize("changes", [{}, {"guidance": 1.0}, {"guidance_end": 0.5, "strength": 1.0}])
def test_an_ip_adapter_sees_each_pictures_own_reference(sd: Path, tmp_path: Path, changes: dict[str, float]) -> None:
    subject = ImageGenerator(tiny_recipe(sd, ip_adapter=write_ip_adapter(sd / "base", tmp_path), **changes))
    subject._size.now = 2
    random = np.random.default_rng(1)
    red, noisy = np.full((40, 60, 3), (255, 0, 0), np.uint8), random.integers(0, 256, (50, 50, 3), np.uint8)
    requests = asked(2)
    both = subject.generate([replace(requests[0], reference=red), replace(requests[1], reference=noisy)])
    swapped = subject.generate([replace(requests[0], reference=noisy), replace(requests[1], reference=noisy)])
    assert apart(both[0], swapped[0]) > 1
    assert apart(both[1], swapped[1]) <= 1
    with pytest.raises(ValueError, match="needs a reference picture"):
        subject.generate(requests)
