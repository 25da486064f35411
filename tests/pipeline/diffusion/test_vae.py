"""Encoding in batches equals encoding of single images, and decoding reverses the scaling of latents."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.diffusion import vae

pytestmark = pytest.mark.slow


@pytest.fixture
def autoencoder(families: dict[str, Path]) -> Any:
    return AutoencoderKL.from_pretrained(families["sdxl"] / "base" / "vae")


@pytest.fixture
def images() -> torch.Tensor:
    """Create three images of random pixels, [3, 3, 64, 64], -1..1."""
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@torch.inference_mode()
def test_latents_do_not_depend_on_the_batch(autoencoder: Any, images: torch.Tensor) -> None:
    together = vae.encode(autoencoder, images, generators(1, 2, 3))
    reversed_batch = vae.encode(autoencoder, images.flip(0), generators(3, 2, 1)).flip(0)
    torch.testing.assert_close(together, reversed_batch, rtol=0, atol=1e-5)
    for index in range(3):
        posterior = autoencoder.encode(images[index : index + 1]).latent_dist
        single = posterior.sample(generators(index + 1)[0]) * autoencoder.config.scaling_factor
        torch.testing.assert_close(together[index : index + 1], single, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_decoding_reverses_the_scale(autoencoder: Any, images: torch.Tensor) -> None:
    latents = vae.encode(autoencoder, images, generators(1, 2, 3))
    expected = autoencoder.decode(latents / autoencoder.config.scaling_factor).sample / 2 + 0.5
    torch.testing.assert_close(vae.decode(autoencoder, latents), expected)


@torch.inference_mode()
def test_latents_are_normalized_by_the_statistics_of_the_configuration(autoencoder: Any, images: torch.Tensor) -> None:
    latents = vae.encode(autoencoder, images, generators(1, 2, 3))
    decoded = vae.decode(autoencoder, latents)
    autoencoder.register_to_config(latents_mean=[0.5, 0.0, -0.5, 1.0], latents_std=[2.0, 1.0, 0.5, 1.5])
    normalized = vae.encode(autoencoder, images, generators(1, 2, 3))
    assert not torch.allclose(normalized, latents)
    torch.testing.assert_close(vae.decode(autoencoder, normalized), decoded, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_autoencoder_that_overflows_in_float16_runs_in_float32(autoencoder: Any, images: torch.Tensor) -> None:
    expected = vae.encode(autoencoder, images, generators(1, 2, 3))
    autoencoder.to(torch.float16)
    assert autoencoder.config.force_upcast
    latents = vae.encode(autoencoder, images.half(), generators(1, 2, 3))
    assert (latents.dtype, autoencoder.dtype) == (torch.float16, torch.float16)
    assert (latents.float() - expected).abs().mean() < 0.01 * expected.abs().mean()
    assert vae.decode(autoencoder, latents).dtype == torch.float32
    assert autoencoder.dtype == torch.float16
