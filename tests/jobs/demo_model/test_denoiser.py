"""The second stage's loss: what is to be predicted leads from noisy latents to the drawing's."""

import dataclasses

import numpy as np
import pytest
import torch

from jobs.demo_model import architecture, denoiser
from jobs.demo_model.autoencoder import set_scale
from jobs.demo_model.cartoon import cartoon
from jobs.demo_model.dataset import Examples
from jobs.demo_model.denoiser import Trainer
from jobs.demo_model.scenes import random_scene
from jobs.demo_model.training_loop import Draws


@pytest.fixture(scope="module")
def trainer(astronaut: np.ndarray) -> Trainer:
    """Return the trainer of untrained networks."""
    torch.manual_seed(1)
    examples = Examples([random_scene(4)], [(astronaut, cartoon(astronaut))])
    coder = architecture.autoencoder()
    set_scale(coder, examples, 1, "cpu")
    return Trainer(coder, architecture.networks(), examples, "cpu")


def draws(seed: int) -> Draws:
    """Return the chance of a step."""
    return Draws(np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def test_latents_have_a_deviation_of_one(trainer: Trainer) -> None:
    batch = trainer.examples.batch(np.random.default_rng(1), 32, 128)
    assert float(trainer._latents(batch.targets).std()) == pytest.approx(1, abs=0.05)


def test_the_prediction_leads_to_the_drawing_also_where_the_photo_was_the_start(trainer: Trainer) -> None:
    batch = trainer.examples.batch(np.random.default_rng(2), 24, 64)
    noisy, times, wanted = trainer._noisy(batch, draws(2))
    signal = trainer.signals[times][:, None, None, None]
    reached = signal * noisy - (1 - signal.square()).sqrt() * wanted
    assert torch.allclose(reached, trainer._latents(batch.targets), atol=1e-3)


def test_bfloat16_changes_a_loss_by_little(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser, "SIZES", ((2, 64), (1, 128)))
    exact, _ = trainer.loss(draws(3))
    rounded, _ = dataclasses.replace(trainer, dtype=torch.bfloat16).loss(draws(3))
    assert rounded.dtype == torch.float32
    assert rounded != exact
    assert float(rounded.detach()) == pytest.approx(float(exact.detach()), rel=0.02)


def test_a_step_has_the_same_loss_again_and_reaches_every_network(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "SIZES", ((2, 64), (1, 128)))
    reached = set()
    for seed in range(6):
        loss, losses = trainer.loss(draws(seed))
        again, _ = trainer.loss(draws(seed))
        assert loss == again
        assert losses
        assert 0.5 < float(loss.detach()) < 3  # of untrained networks: about the variance of noise and latents
        trainer.networks.trained.zero_grad(set_to_none=True)
        loss.backward()
        reached |= {
            name.partition(".")[0]
            for name, part in trainer.networks.trained.named_parameters()
            if part.grad is not None
        }
    assert reached == {"unet", "text_encoder", *architecture.NETS}
