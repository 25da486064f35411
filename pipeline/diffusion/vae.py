"""Between pixels and latents: photos encoded together, each with its own noise, and latents decoded."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.pipelines.controlnet.pipeline_controlnet_img2img import retrieve_latents


def encode(vae: Any, pictures: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:  # noqa: ANN401 - one of diffusers' autoencoders, which share no type
    """Return the scaled latents [N, C, h, w] of pictures [N, 3, H, W], -1..1, in the pictures' own dtype.

    The posterior's noise of each comes from its own generator, as if it were encoded alone.
    """
    exact = bool(vae.dtype == torch.float16 and vae.config.get("force_upcast"))
    if exact:  # SDXL's own autoencoder overflows in half precision
        vae.to(torch.float32)
    found = retrieve_latents(vae.encode(pictures.to(vae.dtype)), generator=list(generators))
    if exact:
        vae.to(torch.float16)
    mean, deviation = _statistics(vae, found)
    scaled: torch.Tensor = (found - mean) * (vae.config.scaling_factor / deviation)
    return scaled.to(pictures.dtype)


def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - as above
    """Return the pictures [N, 3, H, W], 0..1 but for overshoots, float32, of scaled latents [N, C, h, w].

    They are not clamped: what is infinite must be seen to be.
    """
    exact = bool(vae.dtype == torch.float16 and vae.config.get("force_upcast"))
    if exact:
        vae.to(torch.float32)
    mean, deviation = _statistics(vae, latents)
    plain = latents * (deviation / vae.config.scaling_factor) + mean
    pictures: torch.Tensor = vae.decode(plain.to(vae.dtype), return_dict=False)[0]
    if exact:
        vae.to(torch.float16)
    return pictures.float() / 2 + 0.5


def _statistics(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor | float, torch.Tensor | float]:  # noqa: ANN401 - as above
    """Return the mean and deviation that some autoencoders' latents are brought to 0 and 1 with."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or deviation is None:
        return 0.0, 1.0
    both = [torch.tensor(numbers).view(1, -1, 1, 1).to(like) for numbers in (mean, deviation)]
    return both[0], both[1]
