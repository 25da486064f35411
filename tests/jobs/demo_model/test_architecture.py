"""The networks: Stable Diffusion's own classes and folders, in half precision, small enough to ship."""

from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline

from jobs.demo_model import architecture
from jobs.demo_model.vocabulary import vocabulary


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the untrained model."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    architecture.save(folder, architecture.autoencoder(), architecture.networks())
    return folder


def test_it_is_below_16_megabytes_in_half_precision(saved: Path) -> None:
    files = list(saved.rglob("*.safetensors"))
    assert len(files) == 6
    assert 10e6 < sum(path.stat().st_size for path in files) < 16e6


def test_it_loads_as_any_stable_diffusion_and_its_nets_fit(saved: Path) -> None:
    base = StableDiffusionPipeline.from_pretrained(saved / "base", safety_checker=None, dtype=torch.float32)
    assert base.vae_scale_factor == architecture.SHRINK
    assert base.scheduler.config.prediction_type == "v_prediction"
    for name in architecture.NETS:
        net = ControlNetModel.from_pretrained(saved / f"controlnet-{name}")
        assert net.config.block_out_channels == base.unet.config.block_out_channels
    latents = base.vae.encode(torch.zeros(1, 3, 64, 64)).latents
    assert latents.shape == (1, architecture.LATENT_CHANNELS, 16, 16)


def test_its_words_are_single_tokens_and_others_are_spelled(saved: Path) -> None:
    tokenizer = StableDiffusionPipeline.from_pretrained(saved / "base", safety_checker=None).tokenizer
    for word in vocabulary():
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    assert tokenizer.tokenize("night, qi") == ["night</w>", ",</w>", "q", "i</w>"]
