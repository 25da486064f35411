"""Train the autoencoder for a few steps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.demo_model import architecture, autoencoder
from jobs.demo_model.autoencoder import as_tensor, autoencoder_stage, from_tensor, set_scaling_factor
from jobs.demo_model.cartoon import cartoonize
from jobs.demo_model.dataset import Examples
from jobs.demo_model.scenes import random_scene


@pytest.fixture(scope="module")
def examples(data: Path) -> Examples:
    """One scene and one photo."""
    photo = np.asarray(Image.open(data / "astronaut.png").convert("RGB").resize((256, 256)))
    return Examples([random_scene(4)], [(photo, cartoonize(photo))])


def test_tensors_convert_to_pixels_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = as_tensor(pixels, "cpu")
    assert (tensor.shape, float(tensor.min()), float(tensor.max())) == ((1, 3, 16, 16), -1, 1)
    assert (from_tensor(tensor) == pixels).all()


@pytest.mark.slow
def test_loss_reaches_its_target_in_50_steps(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "SIDE", 32)
    torch.manual_seed(1)
    vae = architecture.autoencoder()
    lines: list[str] = []
    losses = autoencoder_stage(vae, examples, 50, 3, "cpu").run(tmp_path, lines.append)
    assert losses["decibel"] > 8
    assert "autoencoder 50/50" in lines[0]
    with Image.open(tmp_path / "autoencoder-000050.png") as sheet:
        assert sheet.size == (8 * 256, 2 * 256)
    set_scaling_factor(vae, examples, 3, "cpu")
    assert vae.config.scaling_factor > 0
    assert not any(parameter.requires_grad for parameter in vae.parameters())
