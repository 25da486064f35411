"""The device and the memory layout of a pipeline's models."""

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0

from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.types import DiffusionPipeline
from schemas.recipe import Recipe

UNTILED_PIXELS = 2**20 * 1.1
"""The largest area, in pixels, that is decoded without tiles in recipes with `memory: low`.

It is slightly above the area of an SDXL image, whose decoding takes about 4 GB.
"""

CONTROLNET_MEMORY = 3e9
"""The largest total size, in bytes, of ControlNets that stay on the device while the UNet runs.

Four ControlNets of SD 1.5 fit, or one of SDXL.
"""


def place_on_device(pipe: DiffusionPipeline, device: torch.device, recipe: Recipe) -> None:
    """Move the models of a pipeline to a device.

    With `memory: low`, models are on the device only while they run, see `offload`, and images are decoded one at a
    time. Judging by the size of the weights, SD 1.5 with three ControlNets then fits in 6 GB, and SDXL in 12 GB. Images
    are decoded in tiles if the area of the recipe exceeds `UNTILED_PIXELS`, except by `AutoencoderTiny`. This changes
    them slightly, because an autoencoder normalizes over its whole input.

    If two pipelines share models, call this function for the next pipeline at each switch between them, because the
    hooks that move a shared model belong to one pipeline at a time.

    Args:
        pipe: The pipeline, with a `MultiControlNet`.
        device: The device that runs the pipeline.
        recipe: The recipe, for its settings memory and area.
    """
    if recipe.memory == "normal":
        pipe.to(device)
        return
    if device.type != "cpu":
        offload(pipe, device)
    pipe.vae.enable_slicing()
    # AutoencoderTiny needs no tiles, and raises an error with them.
    if recipe.area > UNTILED_PIXELS and isinstance(pipe.vae, AutoencoderKL):
        pipe.vae.enable_tiling()


def offload(pipe: DiffusionPipeline, device: torch.device) -> None:
    """Keep the models of a pipeline on the host, and move each to the device only while it runs.

    As an exception, ControlNets of at most `CONTROLNET_MEMORY` stay on the device while the UNet runs.
    """
    size = sum(weight.nbytes for net in pipe.controlnet.nets for weight in net.parameters())
    if size > CONTROLNET_MEMORY:
        pipe.controlnet.offload(device)
    pipe.enable_model_cpu_offload(device=device)


def optimize_layout(pipe: DiffusionPipeline, optimizations: Optimizations) -> None:
    """Arrange the weights of a pipeline for speed. The weights keep their values; results differ by rounding errors."""
    for model in (pipe.unet, pipe.vae, pipe.controlnet):
        model.requires_grad_(requires_grad=False)
        if optimizations.channels_last:
            model.to(memory_format=torch.channels_last)
    if optimizations.fuse_projections and not _has_ip_adapter(pipe.unet):
        for model in (pipe.unet, *pipe.controlnet.nets):
            _fuse_projections(model)


def _fuse_projections(model: UNet2DConditionModel | ControlNetModel) -> None:
    """Compute queries, keys and values of self-attention, and keys and values of cross-attention, in one product.

    This replaces `ControlNetModel.fuse_qkv_projections`, which finds no layers in diffusers 0.42.
    """
    for module in model.modules():
        if isinstance(module, Attention):
            module.fuse_projections(fuse=True)
    model.set_attn_processor(FusedAttnProcessor2_0())


def _has_ip_adapter(unet: UNet2DConditionModel) -> bool:
    """Return whether the UNet has attention processors of an IP-Adapter, which fused processors would replace."""
    return any("IPAdapter" in type(processor).__name__ for processor in unet.attn_processors.values())
