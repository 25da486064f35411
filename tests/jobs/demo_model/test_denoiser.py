"""Compute the loss of the second stage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.demo_model import architecture, denoiser
from jobs.demo_model.autoencoder import set_scaling_factor
from jobs.demo_model.cartoon import cartoonize
from jobs.demo_model.dataset import Examples
from jobs.demo_model.denoiser import Trainer
from jobs.demo_model.scenes import random_scene
from jobs.demo_model.training_loop import StepRandom

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(data: Path) -> Trainer:
    """The trainer of untrained networks."""
    torch.manual_seed(1)
    photo = np.asarray(Image.open(data / "astronaut.png").convert("RGB").resize((256, 256)))
    examples = Examples([random_scene(4)], [(photo, cartoonize(photo))])
    vae = architecture.autoencoder()
    set_scaling_factor(vae, examples, 1, "cpu")
    return Trainer(vae, architecture.networks(), examples, "cpu")


def step_random(seed: int) -> StepRandom:
    return StepRandom(np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def test_v_prediction_recovers_the_target_from_noisy_photos_and_targets(trainer: Trainer) -> None:
    batch = trainer.examples.batch(np.random.default_rng(2), 16, 64)
    noisy, timesteps, velocity = trainer._add_noise(batch, step_random(2))
    signal = trainer.signals[timesteps][:, None, None, None]
    recovered = signal * noisy - (1 - signal.square()).sqrt() * velocity
    assert torch.allclose(recovered, trainer._latents(batch.targets), atol=1e-3)


def test_loss_is_reproducible_and_near_the_variance_of_its_target(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "BATCH_SIZES", ((2, 64), (1, 64)))
    loss, losses = trainer.loss(step_random(3))
    assert loss == trainer.loss(step_random(3))[0]
    assert list(losses.values()) == [float(loss.detach())]
    assert 0.5 < float(loss.detach()) < 3  # untrained networks predict about zero
