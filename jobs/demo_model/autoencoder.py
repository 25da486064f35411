"""The first training stage: the autoencoder of photos and cartoons."""

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

SIDE = 64  # pixels, of the training crops
BATCH = 8
PHOTO_SHARE = 0.25  # share of examples that are the photo instead of the target
LEARNING_RATE = 3e-3
GRADIENT_WEIGHT = 1.0  # of the loss on differences between neighbours, which keeps lines sharp and areas flat
NOISE = 0.4  # largest noise on latents of deviation 1: the decoder must hide the noise that a denoiser leaves
SPREAD_WEIGHT = 0.2  # of the loss that keeps every latent channel near mean 0 and deviation 1


def autoencoder_stage(vae: AutoencoderTiny, examples: Examples, steps: int, seed: int, device: str) -> TrainingStage:
    """Return the stage that trains the autoencoder `vae`."""

    def loss(random: StepRandom) -> tuple[Tensor, Losses]:
        batch = examples.batch(random.numpy, BATCH, SIDE)
        use_photo = (random.numpy.random(len(batch.targets)) < PHOTO_SHARE)[:, None, None, None]
        images = np.where(use_photo, batch.photos, batch.targets)
        return _loss(vae, as_tensor(images, device), random.torch)

    def save_samples(path: Path) -> None:
        batch = examples.batch(np.random.default_rng(seed), 8, 256)
        images = as_tensor(np.concatenate([batch.targets[:6], batch.photos[6:]]), device)
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(images).latents).sample
        save_sheet(path, [from_tensor(images), from_tensor(decoded)])

    parts = optimizers(vae, LEARNING_RATE)
    return TrainingStage("autoencoder", vae, steps, parts, loss, save_samples, seed, device, examples.settings)


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
    """Write rows of images [N, H, W, 3] to one image file."""
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(path)


def _loss(vae: AutoencoderTiny, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Losses]:
    latents = vae.encode(images).latents
    decoded = vae.decode(latents + _noise(latents, generator)).sample
    plain = functional.l1_loss(decoded, images)
    gradients = sum(functional.l1_loss(decoded.diff(dim=axis), images.diff(dim=axis)) for axis in (2, 3))
    spread = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
    squared = float(functional.mse_loss(decoded.detach().clamp(-1, 1), images))
    return plain + GRADIENT_WEIGHT * gradients + SPREAD_WEIGHT * spread, {
        "decibel": 10 * math.log10(4 / squared),  # peak signal-to-noise ratio
        "spread": float(spread.detach()),
    }


def _noise(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise for latents [N, C, h, w], of a random strength up to NOISE for each image."""
    normal = torch.randn(latents.shape, generator=generator, device=latents.device)
    strength = NOISE * torch.rand((len(latents), 1, 1, 1), generator=generator, device=latents.device)
    return strength * normal
