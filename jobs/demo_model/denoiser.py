"""The second stage: the UNet, its three nets and the text encoder, together from nothing.

What is learned is v-prediction (Salimans and Ho, "Progressive distillation", 2022): v = a * noise - s * latents for
noisy latents a * latents + s * noise. Where little noise is left, there is little to learn: such times weigh less, as
in min-SNR (Hang et al., "Efficient diffusion training via min-SNR weighting strategy", 2023), but noisy ones keep
their weight, for that is where a picture's composition is decided.
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

from jobs.demo_model.architecture import NETS, SCHEDULER, Networks
from jobs.demo_model.autoencoder import as_tensor
from jobs.demo_model.dataset import Batch, Examples
from jobs.demo_model.muon import optimizers
from jobs.demo_model.samples import save_samples
from jobs.demo_model.training_loop import Draws, Losses, Stage

SIZES = ((8, 128), (2, 256))  # examples and side of a batch, which cost about the same
WHOLE = 0.25  # share of batches of the second size: whole scenes
PEAK = 3e-3
MOST_SIGNAL = 5.0  # gamma of min-SNR: above it, SNR + 1 makes a time weigh less and less
# Which nets take part in a batch, and how often: each must work alone, and none is a must.
RUNNING: dict[tuple[str, ...], float] = {
    ("canny",): 0.3, ("openpose",): 0.25, ("depth",): 0.15, ("canny", "openpose", "depth"): 0.2, (): 0.1,
}  # fmt: skip
PHOTOS: dict[tuple[str, ...], float] = {("canny",): 0.65, ("canny", "openpose", "depth"): 0.4, (): 0.5}  # else 0
SHOWN = 6  # examples on a sample sheet
FROM_PHOTO = 0.25  # share of drawings to be found from the noisy photo: what img2img asks for
FROM_PHOTO_TIMES = (300, 700)  # of 1000: img2img with strengths about 0.3 to 0.7


@dataclass(frozen=True)
class Trainer:
    """Computes the second stage's loss."""

    coder: AutoencoderTiny  # trained, frozen, with its scaling factor
    networks: Networks
    examples: Examples
    device: str
    dtype: torch.dtype = torch.float32  # of multiplications; weights, sums and losses are float32

    def loss(self, draws: Draws) -> tuple[Tensor, Losses]:
        """Return the loss of one batch."""
        count, side = SIZES[int(draws.numpy.random() < WHOLE)]
        running = list(RUNNING)[draws.numpy.choice(len(RUNNING), p=list(RUNNING.values()))]
        batch = self.examples.batch(draws.numpy, count, side, PHOTOS.get(running, 0.0))
        noisy, times, wanted = self._noisy(batch, draws)
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            text = self._text(batch.prompts)
            residuals = self._residuals(running, batch, noisy, times, text)
            predicted = self.networks.unet(noisy, times, text, **residuals).sample
        errors = functional.mse_loss(predicted.float(), wanted, reduction="none").mean((1, 2, 3))  # [N]
        loss = (self._weights(times) * errors).mean()
        return loss, {"crops" if side == SIZES[0][1] else "whole": float(loss.detach())}

    def _noisy(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy latents, their times, and the v that leads from them to the target."""
        count = len(batch.targets)
        times = draws.numpy.integers(0, 1000, count)
        lead = (draws.numpy.random(count) < FROM_PHOTO) & batch.drawn
        times[lead] = draws.numpy.integers(*FROM_PHOTO_TIMES, int(lead.sum()))
        latents = self._latents(batch.targets)
        start = latents.clone()
        if lead.any():
            start[torch.from_numpy(lead)] = self._latents(batch.photos[lead])
        noise = torch.randn(latents.shape, generator=draws.torch, device=self.device)
        signal = self.signals[times][:, None, None, None].to(self.device)  # [N, 1, 1, 1]
        spread = (1 - signal.square()).sqrt()
        noisy = signal * start + spread * noise
        # The noise that would have made `noisy` of the target: `noise` itself, but where a photo was the start.
        implied = (noisy - signal * latents) / spread
        return noisy, torch.from_numpy(times).to(self.device), signal * implied - spread * latents

    def _weights(self, times: Tensor) -> Tensor:
        """Return min(SNR + 1, gamma) / (SNR + 1), the weights of v-prediction's errors; [N]."""
        signal = self.signals[times.cpu()].square()
        power = 1 / (1 - signal)  # SNR + 1
        return (power.clamp(max=MOST_SIGNAL) / power).to(self.device)

    @functools.cached_property
    def signals(self) -> Tensor:
        """How much of the latents is left at each of 1000 times: the root of the schedule's cumulative alpha."""
        signals: Tensor = DDPMScheduler(**SCHEDULER).alphas_cumprod.sqrt()
        return signals

    @torch.no_grad()
    def _latents(self, pixels: NDArray[np.uint8]) -> Tensor:
        latents = self.coder.encode(as_tensor(pixels, self.device)).latents
        scaled: Tensor = latents * self.coder.config.scaling_factor
        return scaled

    def _text(self, prompts: list[str]) -> Tensor:
        tokens = self.networks.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        embedded: Tensor = self.networks.text_encoder(tokens.input_ids.to(self.device))[0]
        return embedded  # [N, 77, TEXT_WIDTH]

    def _residuals(
        self, running: tuple[str, ...], batch: Batch, noisy: Tensor, times: Tensor, text: Tensor
    ) -> dict[str, Any]:
        """Return what the nets that take part add to the UNet, summed as diffusers sums it; zeros if none does."""
        made = []
        for name in running or NETS[:1]:
            control = (as_tensor(batch.maps[name], self.device) + 1) / 2  # [N, 3, H, W], 0..1
            down, middle = self.networks.nets[name](noisy, times, text, control, return_dict=False)
            made.append([each if running else torch.zeros_like(each) for each in (*down, middle)])
        *downs, middle = (sum(of_nets) for of_nets in zip(*made, strict=True))
        return {"down_block_additional_residuals": tuple(downs), "mid_block_additional_residual": middle}


def denoiser_stage(trainer: Trainer, steps: int, seed: int) -> Stage:
    """Return the stage that trains everything but the autoencoder."""

    def show(path: Path) -> None:
        batch = trainer.examples.batch(np.random.default_rng(seed), SHOWN, 256)
        save_samples(path, trainer.coder, trainer.networks, batch)

    trained = trainer.networks.trained
    made_of = {**trainer.examples.made_of, "autoencoder": _digest(trainer.coder)}
    rates = optimizers(trained, PEAK, trainer.dtype)
    return Stage("denoiser", trained, steps, rates, trainer.loss, show, seed, trainer.device, made_of)


def _digest(module: torch.nn.Module) -> str:
    """Return a short digest of a module's weights."""
    weights = hashlib.sha256()
    for part in module.state_dict().values():
        weights.update(part.detach().cpu().contiguous().numpy().tobytes())
    return weights.hexdigest()[:12]
