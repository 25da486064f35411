"""The first stage: an autoencoder of photos and drawings."""

import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from jobs.demo_model.dataset import Examples
from jobs.demo_model.muon import optimizers
from jobs.demo_model.training_loop import Draws, Losses, Stage

SIDE = 64  # of the crops it is trained on
BATCH = 8
PHOTOS = 0.25  # share of examples that are the photo, not the drawing
PEAK = 3e-3
EDGES = 1.0  # weight of the loss on differences between neighbours: lines stay sharp, flat areas flat
NOISE = 0.4  # most noise on latents of deviation 1: what a denoiser leaves over must not show in flat areas
SPREAD = 0.2  # weight of the loss that keeps every latent channel near mean 0 and deviation 1


def autoencoder_stage(coder: AutoencoderTiny, examples: Examples, steps: int, seed: int, device: str) -> Stage:
    """Return the stage that trains `coder`."""

    def loss(draws: Draws) -> tuple[Tensor, Losses]:
        batch = examples.batch(draws.numpy, BATCH, SIDE)
        pictures = np.where(_coins(draws, len(batch.drawn)), batch.photos, batch.targets)
        return _loss(coder, as_tensor(pictures, device), draws.torch)

    def show(path: Path) -> None:
        batch = examples.batch(np.random.default_rng(seed), 8, 256)
        pictures = as_tensor(np.concatenate([batch.targets[:6], batch.photos[6:]]), device)
        with torch.inference_mode():
            decoded = coder.decode(coder.encode(pictures).latents).sample
        save_sheet(path, [from_tensor(pictures), from_tensor(decoded)])

    return Stage("autoencoder", coder, steps, optimizers(coder, PEAK), loss, show, seed, device, examples.made_of)


def set_scale(coder: AutoencoderTiny, examples: Examples, seed: int, device: str) -> None:
    """Freeze a trained autoencoder, and set the factor that brings its latents to a deviation of 1."""
    coder.requires_grad_(requires_grad=False).eval()
    batch = examples.batch(np.random.default_rng(seed), 32, 128)
    deviation = float(coder.encode(as_tensor(batch.targets, device)).latents.std())
    coder.register_to_config(scaling_factor=round(1 / deviation, 4))


def as_tensor(pixels: NDArray[np.uint8], device: str) -> Tensor:
    """Return [N, H, W, 3] of 0..255 as [N, 3, H, W] of -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def from_tensor(pictures: Tensor) -> NDArray[np.uint8]:
    """Return [N, 3, H, W] of -1..1 as [N, H, W, 3] of 0..255."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def save_sheet(path: Path, rows: list[NDArray[np.uint8]]) -> None:
    """Write rows of pictures [N, H, W, 3] as one picture."""
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(path)


def _coins(draws: Draws, count: int) -> NDArray[np.bool_]:
    return (draws.numpy.random(count) < PHOTOS)[:, None, None, None]


def _loss(coder: AutoencoderTiny, pictures: Tensor, chance: torch.Generator) -> tuple[Tensor, Losses]:
    latents = coder.encode(pictures).latents
    decoded = coder.decode(latents + _noise(latents, chance)).sample
    plain = functional.l1_loss(decoded, pictures)
    edges = sum(functional.l1_loss(decoded.diff(dim=axis), pictures.diff(dim=axis)) for axis in (2, 3))
    spread = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
    squared = float(functional.mse_loss(decoded.detach().clamp(-1, 1), pictures))
    return plain + EDGES * edges + SPREAD * spread, {
        "decibel": 10 * math.log10(4 / squared),
        "spread": float(spread.detach()),
    }


def _noise(latents: Tensor, chance: torch.Generator) -> Tensor:
    """Return noise for latents, of another strength for each picture."""
    drawn = torch.randn(latents.shape, generator=chance, device=latents.device)
    strength = NOISE * torch.rand((len(latents), 1, 1, 1), generator=chance, device=latents.device)
    return strength * drawn
