"""Stable Diffusion 1.5 and XL with random weights: their speed is that of the published models.

The sizes are those of the published configurations: stable-diffusion-v1-5/stable-diffusion-v1-5,
stabilityai/stable-diffusion-xl-base-1.0, and the ControlNets of lllyasviel and xinsir, which have the layers of the
UNet's encoder. The tokenizer is that of the demo model, because the cost of a prompt does not depend on its words.
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
VOCABULARY = 49408  # tokens of CLIP
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_G = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "hidden_act": "gelu", "projection_dim": 1280,
}  # fmt: skip
_BLOCKS = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")


@dataclass(frozen=True)
class Architecture:
    """The configurations of a checkpoint's classes in diffusers and transformers.

    Attributes:
        unet: Arguments of `UNet2DConditionModel`.
        vae: Arguments of `AutoencoderKL`.
        text: Arguments of `CLIPTextConfig`.
        text_2: Arguments of the `CLIPTextConfig` of the second text encoder. None for SD 1.5.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    text_2: dict[str, Any] | None = None


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
        text_2=_CLIP_G,
    ),
}  # fmt: skip
"""Architectures by name. The UNet of SD 1.5 has 860 million weights, that of XL 2,567 million."""


def without_extra_models(recipe: Recipe) -> Recipe:
    """Return a recipe without VAE, LoRAs, embeddings, IP-Adapter, upscale and safety checker."""
    unused: dict[str, Any] = {"vae": None, "loras": (), "embeddings": (), "ip_adapter": None, "upscale": None}
    return recipe.model_copy(update=unused | {"safety": SafetyChecker()})


def random_model_loader(architecture: Architecture) -> Callable[[Recipe, torch.dtype, Optimizations], LoadedModels]:
    """Return a replacement of `pipeline.diffusion.load.load_models` for a recipe without extra models."""

    def load(recipe: Recipe, dtype: torch.dtype, optimizations: Optimizations) -> LoadedModels:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[0] if device.type == "cuda" else []), device:
            torch.manual_seed(SEED)
            parts = components(architecture, dtype)
            controlnets = [control_net(parts["unet"]) for _ in recipe.controls]
        parts["controlnet"] = MultiControlNet(
            controlnets, leave_out=optimizations.skip_inactive, embed_once=optimizations.embed_maps_once
        )
        parts["scheduler"] = build_scheduler(recipe, _scheduler().config)
        xl = architecture.text_2 is not None
        if not xl:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipe = PIPELINES[recipe.mode][xl](**parts)
        pipe.set_progress_bar_config(disable=True)
        return LoadedModels(pipe, None, xl, [], None)

    return load


def components(architecture: Architecture, dtype: torch.dtype) -> dict[str, Any]:
    """Create the parts of a checkpoint on torch's default device. The keys are their names in the pipeline."""
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel(**architecture.unet).to(dtype).eval(),
        "vae": AutoencoderKL(**architecture.vae).to(dtype).eval(),
        "text_encoder": _evaluated(CLIPTextModel(_text_config(architecture.text)), dtype),
        "tokenizer": _tokenizer(),
    }
    if architecture.text_2 is not None:
        encoder = _evaluated(CLIPTextModelWithProjection(_text_config(architecture.text_2)), dtype)
        parts |= {"text_encoder_2": encoder, "tokenizer_2": _tokenizer()}
    return parts


def control_net(unet: UNet2DConditionModel) -> ControlNetModel:
    """Create a ControlNet for a UNet. Its output is not zero."""
    network = ControlNetModel.from_unet(unet, load_weights_from_unet=not unet.conv_in.weight.is_meta)
    # An untrained ControlNet has zeros in these layers, and a trained one does not.
    for layer in (
        *network.controlnet_down_blocks, network.controlnet_mid_block, network.controlnet_cond_embedding.conv_out
    ):  # fmt: skip
        torch.nn.init.normal_(layer.weight, std=0.02)
    return network.to(unet.dtype).eval()


def _text_config(settings: dict[str, Any]) -> CLIPTextConfig:
    tokenizer = _tokenizer()
    special_tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=77, **special_tokens, **settings)


def _evaluated(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    return model.to(dtype).eval()


def _tokenizer() -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "base" / "tokenizer")
    return tokenizer


def _scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
