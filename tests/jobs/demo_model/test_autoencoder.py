"""The first stage: pixels to tensors and back, and a loss that falls."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.demo_model import architecture, autoencoder
from jobs.demo_model.autoencoder import as_tensor, autoencoder_stage, from_tensor, set_scale
from jobs.demo_model.cartoon import cartoon
from jobs.demo_model.dataset import Examples
from jobs.demo_model.scenes import random_scene


@pytest.fixture(scope="module")
def examples(astronaut: np.ndarray) -> Examples:
    """Return one scene and one photo."""
    return Examples([random_scene(4)], [(astronaut, cartoon(astronaut))])


def test_tensors_and_pixels_are_the_same_numbers() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = as_tensor(pixels, "cpu")
    assert (tensor.shape, float(tensor.min()), float(tensor.max())) == ((1, 3, 16, 16), -1, 1)
    assert (from_tensor(tensor) == pixels).all()


def test_a_few_steps_bring_pictures_nearer(examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "SIDE", 32)
    torch.manual_seed(1)
    coder = architecture.autoencoder()
    said: list[str] = []
    losses = autoencoder_stage(coder, examples, 50, 3, "cpu").run(tmp_path, said.append)
    assert losses["decibel"] > 8
    assert "autoencoder 50/50" in said[0]
    with Image.open(tmp_path / "autoencoder-000050.png") as sheet:
        assert sheet.size == (8 * 256, 2 * 256)
    set_scale(coder, examples, 3, "cpu")
    assert coder.config.scaling_factor > 0
    assert not any(part.requires_grad for part in coder.parameters())


def test_noise_is_of_another_strength_for_each_picture_and_none_is_too_strong() -> None:
    noise = autoencoder._noise(torch.zeros(64, 8, 16, 16), torch.Generator().manual_seed(1))
    strengths = noise.std((1, 2, 3))
    assert strengths.max() == pytest.approx(autoencoder.NOISE, abs=0.05)
    assert strengths.min() < 0.05
