"""Tiny models with random weights, of the classes and in the folder layout of Stable Diffusion 1.5 and SDXL."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipeline.diffusion.request import GeneratedImage, GenerationRequest
from pipeline.models import resolve
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe

SEED = 7
WIDTH = 32
"""The width of the text encoders."""
CHANNELS = (32, 64)
"""The channels of the UNet's blocks."""


def write_sd(folder: Path, in_channels: int = 4) -> None:
    """Write a tiny Stable Diffusion 1.5. With 9 input channels, it is an inpainting model."""
    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=in_channels, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=_vae(), text_encoder=_text_encoder(), tokenizer=tokenizer(), unet=unet, scheduler=_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def write_sdxl(folder: Path) -> None:
    """Write a tiny SDXL."""
    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=CHANNELS, layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 1), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    second_encoder = CLIPTextModelWithProjection(_text_config(projection_dim=WIDTH, hidden_act="gelu"))
    StableDiffusionXLPipeline(
        vae=_vae(force_upcast=True), text_encoder=_text_encoder(), text_encoder_2=second_encoder, tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), unet=unet, scheduler=_scheduler(),
    ).save_pretrained(folder)  # fmt: skip


def write_net(base: Path, folder: Path, seed: int = SEED) -> None:
    """Write a ControlNet of a base's family.

    Its residuals are not zero, as those of an untrained ControlNet would be.
    """
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    net = ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=(4, 8, 8, 16), load_weights_from_unet=True
    )
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.2)
    net.save_pretrained(folder)


def write_ip_adapter(base: Path, folder: Path) -> dict[str, Any]:
    """Write a tiny IP-Adapter and its image encoder, and return its settings for a recipe."""
    torch.manual_seed(4)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    state = {
        "image_proj.proj.weight": torch.randn(4 * WIDTH, 16), "image_proj.proj.bias": torch.randn(4 * WIDTH),
        "image_proj.norm.weight": torch.ones(WIDTH), "image_proj.norm.bias": torch.zeros(WIDTH),
    }  # fmt: skip
    cross_attention = [name for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(cross_attention):
        hidden = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for part in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(hidden, WIDTH)
    (folder / "models").mkdir()
    save_file(state, folder / "models" / "ip-adapter_sd15.safetensors")
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=16,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "models" / "image_encoder")
    return {"name": str(folder), "scale": 1.0}


def tokenizer() -> CLIPTokenizer:
    """Load the tokenizer of the demo model."""
    return CLIPTokenizer.from_pretrained(resolve.SHIPPED / "base" / "tokenizer")


def tiny_recipe(folder: Path, mode: str = "img2img", nets: int = 1, **changes: Any) -> Recipe:
    """Build the demo recipe with the tiny models of a folder.

    Args:
        folder: A folder with the base in `base` and the ControlNets in `net-0`, `net-1`, ...
        mode: The mode of the recipe.
        nets: The number of ControlNets.
        changes: Other settings of the recipe.
    """
    demo = load_recipe("demo", ["area=4096", "steps=4"]).model_dump()
    controls = [demo["controls"][number] | {"net": {"name": str(folder / f"net-{number}")}} for number in range(nets)]
    changes = {"base": {"name": str(folder / "base")}, "mode": mode, "controls": controls} | changes
    return Recipe.model_validate(demo | changes)


def tiny_requests(count: int, nets: int = 1, mode: str = "img2img", **changes: Any) -> list[GenerationRequest]:
    """Build requests with random photos and maps of 64x64 pixels, and different seeds.

    Args:
        count: The number of requests.
        nets: The number of maps in each.
        mode: The mode of the recipe. Mode inpaint adds a region.
        changes: Other fields of the requests.
    """
    random = np.random.default_rng(5)
    region = np.zeros((64, 64), np.bool_)  # [H, W]
    region[8:40, 16:56] = True
    return [
        GenerationRequest(
            photo=random.integers(0, 256, (64, 64, 3), np.uint8),
            maps=tuple(random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(nets)),
            prompt="anime style", negative_prompt="photo", seed=number,
            **{"inpaint_region": region if mode == "inpaint" else None} | changes,
        )
        for number in range(count)
    ]  # fmt: skip


def pixel_difference(one: GeneratedImage, other: GeneratedImage) -> int:
    """Return the largest difference between two images, 0..255."""
    assert one.pixels is not None
    assert other.pixels is not None
    return int(np.abs(one.pixels.astype(int) - other.pixels).max())


def _vae(**changes: bool) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 16), latent_channels=4, norm_num_groups=4, layers_per_block=1, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, **changes,
    )  # fmt: skip


def _scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )


def _text_encoder() -> CLIPTextModel:
    return CLIPTextModel(_text_config())


def _text_config(**changes: object) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer()), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, bos_token_id=0, eos_token_id=1, pad_token_id=1, **changes,
    )  # fmt: skip
