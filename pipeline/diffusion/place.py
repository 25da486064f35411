"""Where a loaded pipeline's models lie, and in what order in memory."""

from typing import Any

import torch

from pipeline.diffusion.gains import Gains


def put_on(pipe: Any, device: torch.device, *, low: bool) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
    """Move a pipeline's models to a device; with `low`, each only while it is used, pictures one by one.

    `low` runs SD 1.5 with three nets on 6 GB, SDXL on 12 GB. Two pipelines that share models are put in turns.
    """
    if low and device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    if low:
        pipe.vae.enable_slicing()
        pipe.vae.enable_tiling()


def arrange(pipe: Any, gains: Gains) -> None:  # noqa: ANN401 - as above
    """Arrange a pipeline's weights for speed; the numbers stay what they are, their sums to the last bits."""
    parts = [pipe.unet, pipe.vae, *pipe.controlnet.nets]
    for part in parts:
        part.requires_grad_(requires_grad=False)
        if gains.channels_last:
            part.to(memory_format=torch.channels_last)
    if gains.fuse_projections and not _has_own_processors(pipe.unet):
        for part in (pipe.unet, *pipe.controlnet.nets):
            part.fuse_qkv_projections()


def _has_own_processors(unet: Any) -> bool:  # noqa: ANN401 - as above
    """Tell whether an IP-Adapter has put its attention into the UNet: fusing would take it out again."""
    return any("IPAdapter" in type(processor).__name__ for processor in unet.attn_processors.values())
