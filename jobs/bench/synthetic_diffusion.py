"""Stable Diffusion 1.5 and XL to the last layer, with random weights made where they are used: as fast, and blind.

The numbers are those of the published configurations: stable-diffusion-v1-5/stable-diffusion-v1-5,
stabilityai/stable-diffusion-xl-base-1.0, and lllyasviel's and xinsir's ControlNets, which follow their UNet. Text
encoders know the demo model's few tokens by their numbers: what a prompt costs does not depend on its words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.diffusion.load import PIPELINES, LoadedModels, build_scheduler
from pipeline.diffusion.multi_controlnet import MultiControlNet
from pipeline.diffusion.optimizations import Optimizations
from pipeline.models.resolve import SHIPPED
from schemas.models import SafetyChecker
from schemas.recipe import Recipe

SEED = 7
VOCABULARY = 49408  # CLIP's
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_G = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "hidden_act": "gelu", "projection_dim": 1280,
}  # fmt: skip
_BLOCKS = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")


@dataclass(frozen=True)
class Architecture:
    """Settings of diffusers' and transformers' classes; `second` is that of a second text encoder."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    second: dict[str, Any] | None = None


_VAE = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
ARCHITECTURES = {
    "sd15": Architecture(
        unet={
            "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, "layers_per_block": 2,
            "block_out_channels": (320, 640, 1280, 1280), "down_block_types": _BLOCKS,
            "up_block_types": tuple(name.replace("Down", "Up") for name in reversed(_BLOCKS)),
        },
        vae=_VAE,
        text=_CLIP_L,
    ),
    "sdxl": Architecture(
        unet={
            "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "layers_per_block": 2,
            "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        vae=_VAE | {"sample_size": 1024, "scaling_factor": 0.13025},
        text=_CLIP_L,
        second=_CLIP_G,
    ),
}  # fmt: skip
"""By name: SD 1.5 with 860 M weights in its UNet, XL with 2,567 M."""


def bare(recipe: Recipe) -> Recipe:
    """Return a recipe without what changes weights alone, or needs models of its own: such are left out here."""
    left_out: dict[str, Any] = {"vae": None, "loras": (), "embeddings": (), "ip_adapter": None, "upscale": None}
    return recipe.model_copy(update=left_out | {"safety": SafetyChecker()})


def loader(architecture: Architecture) -> Callable[[Recipe, torch.dtype, Optimizations], LoadedModels]:
    """Return what takes the place of `pipeline.diffusion.load.load_models` for a bare recipe."""

    def load(recipe: Recipe, dtype: torch.dtype, gains: Optimizations) -> LoadedModels:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[0] if device.type == "cuda" else []), device:
            torch.manual_seed(SEED)
            parts = components(architecture, dtype)
            nets = [control_net(parts["unet"]) for _ in recipe.controls]
        parts["controlnet"] = MultiControlNet(nets, leave_out=gains.leave_out_nets, embed_once=gains.embed_maps_once)
        parts["scheduler"] = build_scheduler(recipe, _scheduler().config)
        xl = architecture.second is not None
        if not xl:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipe = PIPELINES[recipe.mode][xl](**parts)
        pipe.set_progress_bar_config(disable=True)
        return LoadedModels(pipe, None, xl, [], None)

    return load


def components(architecture: Architecture, dtype: torch.dtype) -> dict[str, Any]:
    """Return the parts of a checkpoint, on torch's device of the moment."""
    second = architecture.second
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel(**architecture.unet).to(dtype).eval(),
        "vae": AutoencoderKL(**architecture.vae).to(dtype).eval(),
        "text_encoder": _encoder(CLIPTextModel(_text(architecture.text)), dtype),
        "tokenizer": _tokenizer(),
    }
    if second is not None:
        encoder = _encoder(CLIPTextModelWithProjection(_text(second)), dtype)
        parts |= {"text_encoder_2": encoder, "tokenizer_2": _tokenizer()}
    return parts


def control_net(unet: UNet2DConditionModel) -> ControlNetModel:
    """Return a ControlNet of a UNet's family that says something."""
    net = ControlNetModel.from_unet(unet, load_weights_from_unet=not unet.conv_in.weight.is_meta)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.02)  # published ones begin at zero, and no trained one is there still
    return net.to(unet.dtype).eval()


def _text(settings: dict[str, Any]) -> CLIPTextConfig:
    tokenizer = _tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=77, **ends, **settings)


def _encoder(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    return model.to(dtype).eval()


def _tokenizer() -> Any:  # noqa: ANN401 - transformers is half typed
    return CLIPTokenizer.from_pretrained(SHIPPED / "base" / "tokenizer")


def _scheduler() -> Any:  # noqa: ANN401 - schedulers share no type
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
