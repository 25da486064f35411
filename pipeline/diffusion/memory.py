"""Where a loaded pipeline's models lie, and in what order in memory."""

from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0

from pipeline.diffusion.optimizations import Optimizations
from schemas.recipe import Recipe

UNTILED_PIXELS = 2**20 * 1.1  # pixels that an autoencoder takes as a whole where memory is low: XL's sizes, some 4 GB

CONTROLNET_MEMORY = 3e9  # bytes that all nets may take beside the UNet: three of SD 1.5, one of XL


def place_on_device(pipe: Any, device: torch.device, recipe: Recipe) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
    """Move a pipeline's models to a device; with `memory: low` each only while it is used, and decode one by one.

    By its weights that is SD 1.5 with three nets on 6 GB, XL on 12 GB. Pictures above `UNTILED_PIXELS` are decoded in
    tiles then, which differ a little: an autoencoder normalises over all that it sees. Two pipelines of the same
    models take turns.
    """
    if recipe.memory == "normal":
        pipe.to(device)
        return
    if device.type != "cpu":
        offload(pipe, device)
    pipe.vae.enable_slicing()
    if recipe.area > UNTILED_PIXELS and isinstance(
        pipe.vae, AutoencoderKL
    ):  # a tiny one needs no tiles, and fails with them
        pipe.vae.enable_tiling()


def offload(pipe: Any, device: torch.device) -> None:  # noqa: ANN401 - as above
    """Keep a pipeline's models on the host, each on the device only while it works."""
    weights = sum(weight.nbytes for net in pipe.controlnet.nets for weight in net.parameters())
    if weights > CONTROLNET_MEMORY:
        pipe.controlnet.take_turns(device)
    pipe.enable_model_cpu_offload(device=device)


def optimize_layout(pipe: Any, gains: Optimizations) -> None:  # noqa: ANN401 - as above
    """Arrange a pipeline's weights for speed; the numbers stay what they are, their sums to the last bits."""
    parts = [pipe.unet, pipe.vae, pipe.controlnet]
    for part in parts:
        part.requires_grad_(requires_grad=False)
        if gains.channels_last:
            part.to(memory_format=torch.channels_last)
    if gains.fuse_projections and not _has_own_processors(pipe.unet):
        for part in (pipe.unet, *pipe.controlnet.nets):
            _fuse(part)


def _fuse(part: Any) -> None:  # noqa: ANN401 - as above
    """Let each attention make queries, keys and values by one product, of a prompt keys and values.

    A ControlNet's own `fuse_qkv_projections` finds nothing to fuse in diffusers 0.42.
    """
    for module in part.modules():
        if isinstance(module, Attention):
            module.fuse_projections(fuse=True)
    part.set_attn_processor(FusedAttnProcessor2_0())


def _has_own_processors(unet: Any) -> bool:  # noqa: ANN401 - as above
    """Tell whether an IP-Adapter has put its attention into the UNet: fusing would take it out again."""
    return any("IPAdapter" in type(processor).__name__ for processor in unet.attn_processors.values())
