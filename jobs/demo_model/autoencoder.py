"""The first training stage of the demo model: its autoencoder, trained on photos and cartoons."""

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
from jobs.demo_model.training_loop import Losses, StepRandom, TrainingStage

SIDE = 64  # width and height of the training crops, in pixels
BATCH = 8
PHOTO_PROBABILITY = 0.25  # that an example is the photo itself, and not the target of the denoiser (mostly a cartoon)
LEARNING_RATE = 3e-3
# Weight of the L1 loss of differences between adjacent pixels, which keeps lines sharp and areas flat.
GRADIENT_WEIGHT = 1.0
# Largest standard deviation of the noise on latents, with which the decoder learns to tolerate inexact latents.
NOISE = 0.4
SPREAD_WEIGHT = 0.2  # weight of the loss that keeps each latent channel near mean 0 and standard deviation 1


def autoencoder_stage(vae: AutoencoderTiny, examples: Examples, steps: int, seed: int, device: str) -> TrainingStage:
    """Return the training stage of an autoencoder."""

    def loss(random: StepRandom) -> tuple[Tensor, Losses]:
        batch = examples.batch(random.numpy, BATCH, SIDE)
        use_photo = (random.numpy.random(len(batch.targets)) < PHOTO_PROBABILITY)[:, None, None, None]
        images = np.where(use_photo, batch.photos, batch.targets)
        return _loss(vae, as_tensor(images, device), random.torch)

    def save_samples(path: Path) -> None:
        batch = examples.batch(np.random.default_rng(seed), 8, 256)
        images = as_tensor(np.concatenate([batch.targets[:6], batch.photos[6:]]), device)
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(images).latents).sample
        save_sheet(path, [from_tensor(images), from_tensor(decoded)])

    optimizer_list = optimizers(vae, LEARNING_RATE)
    return TrainingStage("autoencoder", vae, steps, optimizer_list, loss, save_samples, seed, device, examples.settings)


def set_scaling_factor(vae: AutoencoderTiny, examples: Examples, seed: int, device: str) -> None:
    """Freeze a trained autoencoder, and set the scaling factor that gives its latents a standard deviation of 1."""
    vae.requires_grad_(requires_grad=False).eval()
    batch = examples.batch(np.random.default_rng(seed), 32, 128)
    deviation = float(vae.encode(as_tensor(batch.targets, device)).latents.std())
    vae.register_to_config(scaling_factor=round(1 / deviation, 4))


def as_tensor(pixels: NDArray[np.uint8], device: str) -> Tensor:
    """Convert images [N, H, W, 3] of 0..255 to a tensor [N, 3, H, W] of -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def from_tensor(images: Tensor) -> NDArray[np.uint8]:
    """Convert a tensor [N, 3, H, W] of -1..1 to images [N, H, W, 3] of 0..255."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def save_sheet(path: Path, rows: list[NDArray[np.uint8]]) -> None:
    """Write rows of images, [N, H, W, 3] each, to one image file."""
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(path)


def _loss(vae: AutoencoderTiny, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Losses]:
    """Return the training loss of images [N, 3, H, W], -1..1, and measures to report."""
    latents = vae.encode(images).latents
    decoded = vae.decode(latents + _noise(latents, generator)).sample
    reconstruction = functional.l1_loss(decoded, images)
    gradient = sum(functional.l1_loss(decoded.diff(dim=axis), images.diff(dim=axis)) for axis in (2, 3))
    spread = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
    squared_error = float(functional.mse_loss(decoded.detach().clamp(-1, 1), images))
    return reconstruction + GRADIENT_WEIGHT * gradient + SPREAD_WEIGHT * spread, {
        "decibel": 10 * math.log10(4 / squared_error),  # peak signal-to-noise ratio of values -1..1, whose range is 2
        "spread": float(spread.detach()),
    }


def _noise(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise for latents [N, C, h, w]. Each image has a random standard deviation of up to `NOISE`."""
    normal = torch.randn(latents.shape, generator=generator, device=latents.device)
    strength = NOISE * torch.rand((len(latents), 1, 1, 1), generator=generator, device=latents.device)
    return strength * normal
