"""Encoding together is encoding alone, to each picture its own noise; decoding is the way back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.diffusion import vae as latents


@pytest.fixture
def vae(families: dict[str, Path]) -> Any:
    return AutoencoderKL.from_pretrained(families["sdxl"] / "base" / "vae")


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@torch.inference_mode()
def test_together_is_as_alone_in_any_order(vae: Any, pictures: torch.Tensor) -> None:
    together = latents.encode(vae, pictures, generators(1, 2, 3))
    turned = latents.encode(vae, pictures.flip(0), generators(3, 2, 1)).flip(0)
    torch.testing.assert_close(together, turned, rtol=0, atol=1e-5)
    for number in range(3):
        posterior = vae.encode(pictures[number : number + 1]).latent_dist
        alone = posterior.sample(generators(number + 1)[0]) * vae.config.scaling_factor
        torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_decoding_undoes_the_scale(vae: Any, pictures: torch.Tensor) -> None:
    scaled = latents.encode(vae, pictures, generators(1, 2, 3))
    wanted = vae.decode(scaled / vae.config.scaling_factor).sample / 2 + 0.5
    torch.testing.assert_close(latents.decode(vae, scaled), wanted)


@torch.inference_mode()
def test_latents_with_statistics_are_brought_to_them(vae: Any, pictures: torch.Tensor) -> None:
    plain = latents.encode(vae, pictures, generators(1, 2, 3))
    drawn = latents.decode(vae, plain)
    vae.register_to_config(latents_mean=[0.5, 0.0, -0.5, 1.0], latents_std=[2.0, 1.0, 0.5, 1.5])
    shifted = latents.encode(vae, pictures, generators(1, 2, 3))
    assert not torch.allclose(shifted, plain)
    torch.testing.assert_close(latents.decode(vae, shifted), drawn, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_an_autoencoder_that_overflows_in_half_precision_works_in_float32(vae: Any, pictures: torch.Tensor) -> None:
    exact = latents.encode(vae, pictures, generators(1, 2, 3))
    vae.to(torch.float16)
    assert vae.config.force_upcast
    half = latents.encode(vae, pictures.half(), generators(1, 2, 3))
    assert (half.dtype, vae.dtype) == (torch.float16, torch.float16)
    assert (half.float() - exact).abs().mean() < 0.01 * exact.abs().mean()
    assert latents.decode(vae, half).dtype == torch.float32
    assert vae.dtype == torch.float16
