"""Encode batches of images to scaled latents, with one random generator for each image, and decode latents."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import torch
from diffusers.pipelines.controlnet.pipeline_controlnet_img2img import retrieve_latents

Autoencoder: TypeAlias = Any
"""An autoencoder of diffusers: its classes have the same methods, but no common typed base class."""


def encode(vae: Autoencoder, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Encode images to scaled latents.

    The posterior noise of each image comes from its own generator, so its latents do not depend on the batch.

    Args:
        vae: The autoencoder.
        images: [N, 3, H, W], -1..1.
        generators: One generator for each image.

    Returns:
        Scaled latents, [N, C, h, w], in the dtype of `images`.
    """
    with _float32_if_unstable(vae):
        latents = retrieve_latents(vae.encode(images.to(vae.dtype)), generator=list(generators))
    mean, deviation = _latent_statistics(vae, latents)
    scaled: torch.Tensor = (latents - mean) * (vae.config.scaling_factor / deviation)
    return scaled.to(images.dtype)


def encode_vae_image(vae: Autoencoder, image: torch.Tensor, generator: list[torch.Generator]) -> torch.Tensor:
    """Encode images to scaled latents, with the signature of `_encode_vae_image` of diffusers, which this replaces."""
    return encode(vae, image, generator)


def decode(vae: Autoencoder, latents: torch.Tensor) -> torch.Tensor:
    """Decode scaled latents to images.

    The result is not clamped, so that the caller can detect values that are not finite.

    Args:
        vae: The autoencoder.
        latents: Scaled latents, [N, C, h, w].

    Returns:
        [N, 3, H, W], float32. Most values are in 0..1, but some may be outside.
    """
    with _float32_if_unstable(vae):
        mean, deviation = _latent_statistics(vae, latents)
        unscaled = latents * (deviation / vae.config.scaling_factor) + mean
        images: torch.Tensor = vae.decode(unscaled.to(vae.dtype), return_dict=False)[0]
    return images.float() / 2 + 0.5


@contextlib.contextmanager
def _float32_if_unstable(vae: Autoencoder) -> Iterator[None]:
    """Run a float16 autoencoder in float32 if its configuration has `force_upcast`: that of SDXL overflows."""
    unstable = bool(vae.dtype == torch.float16 and vae.config.get("force_upcast"))
    if unstable:
        vae.to(torch.float32)
    try:
        yield
    finally:
        if unstable:
            vae.to(torch.float16)


def _latent_statistics(vae: Autoencoder, like: torch.Tensor) -> tuple[torch.Tensor | float, torch.Tensor | float]:
    """Return the mean and standard deviation of unscaled latents, [1, C, 1, 1], or 0 and 1 if none are configured."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or deviation is None:
        return 0.0, 1.0
    tensors = [torch.tensor(values).view(1, -1, 1, 1).to(like) for values in (mean, deviation)]
    return tensors[0], tensors[1]
