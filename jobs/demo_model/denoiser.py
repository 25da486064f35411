"""The second training stage: the UNet, its three ControlNets and the text encoder, trained together from scratch.

The networks learn v-prediction (Salimans and Ho, "Progressive distillation", 2022): v = a * noise - s * latents for
noisy latents a * latents + s * noise. Timesteps with little noise have a smaller weight, as in min-SNR (Hang et al.,
"Efficient diffusion training via min-SNR weighting strategy", 2023). Noisy timesteps keep their full weight, because
they decide the composition of an image.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from jobs.demo_model.architecture import CONTROLNETS, SCHEDULER, Networks
from jobs.demo_model.autoencoder import as_tensor
from jobs.demo_model.dataset import Batch, Examples
from jobs.demo_model.muon import optimizers
from jobs.demo_model.samples import save_samples
from jobs.demo_model.training_loop import Losses, StepRandom, TrainingStage

BATCH_SIZES = ((8, 128), (2, 256))  # examples and their side in pixels; both cost about the same
LARGE_SHARE = 0.25  # share of batches of the second size, which show complete scenes
LEARNING_RATE = 3e-3
MIN_SNR_GAMMA = 5.0  # the weight of a timestep falls when SNR + 1 exceeds it
# Probability of each combination of ControlNets in a batch. Each ControlNet must also work alone, and the UNet must
# also work without ControlNets.
ACTIVE: dict[tuple[str, ...], float] = {
    ("canny",): 0.3, ("openpose",): 0.25, ("depth",): 0.15, ("canny", "openpose", "depth"): 0.2, (): 0.1,
}  # fmt: skip
# Share of examples from photos in a batch with these ControlNets; other batches contain only scenes. With openpose or
# depth alone, a photo would have only a blank map.
PHOTO_SHARES: dict[tuple[str, ...], float] = {("canny",): 0.65, ("canny", "openpose", "depth"): 0.4, (): 0.5}
SAMPLES = 6  # examples on a sample sheet
# Share of cartoon targets for which noise is added to the photo that shows the same contents (`Batch.photos`), and not
# to the cartoon, as in img2img. The network must still predict the cartoon.
IMG2IMG_SHARE = 0.25
IMG2IMG_TIMESTEPS = (300, 700)  # of 1000: strengths of about 0.3 to 0.7


@dataclass(frozen=True)
class Trainer:
    """Computes the loss of the second stage."""

    vae: AutoencoderTiny  # trained and frozen, with its scaling factor
    networks: Networks
    examples: Examples
    device: str
    dtype: torch.dtype = torch.float32  # of multiplications; weights and losses are float32

    def loss(self, random: StepRandom) -> tuple[Tensor, Losses]:
        """Compute the loss of a random batch."""
        count, side = BATCH_SIZES[int(random.numpy.random() < LARGE_SHARE)]
        active = list(ACTIVE)[random.numpy.choice(len(ACTIVE), p=list(ACTIVE.values()))]
        batch = self.examples.batch(random.numpy, count, side, PHOTO_SHARES.get(active, 0.0))
        noisy, timesteps, velocity = self._add_noise(batch, random)
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            text = self._embed(batch.prompts)
            residuals = self._residuals(active, batch, noisy, timesteps, text)
            predicted = self.networks.unet(noisy, timesteps, text, **residuals).sample
        errors = functional.mse_loss(predicted.float(), velocity, reduction="none").mean((1, 2, 3))  # [N]
        loss = (self._weights(timesteps) * errors).mean()
        return loss, {"small" if side == BATCH_SIZES[0][1] else "large": float(loss.detach())}

    def _add_noise(self, batch: Batch, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy latents [N, C, h, w], their timesteps [N], and the correct v-predictions [N, C, h, w]."""
        count = len(batch.targets)
        timesteps = random.numpy.integers(0, 1000, count)
        img2img = (random.numpy.random(count) < IMG2IMG_SHARE) & batch.is_cartoon  # [N]
        timesteps[img2img] = random.numpy.integers(*IMG2IMG_TIMESTEPS, int(img2img.sum()))
        latents = self._latents(batch.targets)
        start = latents.clone()
        if img2img.any():
            start[torch.from_numpy(img2img)] = self._latents(batch.photos[img2img])
        noise = torch.randn(latents.shape, generator=random.torch, device=self.device)
        signal = self.signals[timesteps][:, None, None, None].to(self.device)  # [N, 1, 1, 1]
        sigma = (1 - signal.square()).sqrt()
        noisy = signal * start + sigma * noise
        # The noise that turns the target into `noisy`. It differs from `noise` where the start was a photo.
        implied = (noisy - signal * latents) / sigma
        return noisy, torch.from_numpy(timesteps).to(self.device), signal * implied - sigma * latents

    def _weights(self, timesteps: Tensor) -> Tensor:
        """Return weights like those of min-SNR, but 1 for noisy timesteps: min(SNR + 1, gamma) / (SNR + 1), [N]."""
        signal = self.signals[timesteps.cpu()].square()
        snr_plus_one = 1 / (1 - signal)
        return (snr_plus_one.clamp(max=MIN_SNR_GAMMA) / snr_plus_one).to(self.device)

    @functools.cached_property
    def signals(self) -> Tensor:
        """The factor of the latents in the noisy latents at each timestep: the square root of alphas_cumprod."""
        signals: Tensor = DDPMScheduler(**SCHEDULER).alphas_cumprod.sqrt()
        return signals

    @torch.no_grad()
    def _latents(self, pixels: NDArray[np.uint8]) -> Tensor:
        latents = self.vae.encode(as_tensor(pixels, self.device)).latents
        scaled: Tensor = latents * self.vae.config.scaling_factor
        return scaled

    def _embed(self, prompts: list[str]) -> Tensor:
        tokens = self.networks.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        embedded: Tensor = self.networks.text_encoder(tokens.input_ids.to(self.device))[0]
        return embedded  # [N, 77, TEXT_WIDTH]

    def _residuals(
        self, active: tuple[str, ...], batch: Batch, noisy: Tensor, timesteps: Tensor, text: Tensor
    ) -> dict[str, Any]:
        """Sum the residuals of the active ControlNets for the UNet. Returns zeros if no ControlNet is active."""
        outputs = []
        for name in active or CONTROLNETS[:1]:
            control = (as_tensor(batch.maps[name], self.device) + 1) / 2  # [N, 3, H, W], 0..1
            down, middle = self.networks.controlnets[name](noisy, timesteps, text, control, return_dict=False)
            outputs.append([residual if active else torch.zeros_like(residual) for residual in (*down, middle)])
        *downs, middle = (sum(residuals) for residuals in zip(*outputs, strict=True))
        return {"down_block_additional_residuals": tuple(downs), "mid_block_additional_residual": middle}


def denoiser_stage(trainer: Trainer, steps: int, seed: int) -> TrainingStage:
    """Return the stage that trains the UNet, the ControlNets and the text encoder."""

    def write_sheet(path: Path) -> None:
        batch = trainer.examples.batch(np.random.default_rng(seed), SAMPLES, 256)
        save_samples(path, trainer.vae, trainer.networks, batch)

    trained = trainer.networks.trained
    settings = {**trainer.examples.settings, "autoencoder": _short_digest(trainer.vae)}
    parts = optimizers(trained, LEARNING_RATE, trainer.dtype)
    return TrainingStage("denoiser", trained, steps, parts, trainer.loss, write_sheet, seed, trainer.device, settings)


def _short_digest(module: torch.nn.Module) -> str:
    """Return 12 hex digits of the sha256 of a module's weights."""
    digest = hashlib.sha256()
    for part in module.state_dict().values():
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
