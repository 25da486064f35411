"""Run the training command, from photos to a model that the converter loads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import dataset, denoiser, photos, samples
from jobs.demo_model.train import train
from pipeline.recipes.load import load_recipe


@pytest.mark.slow
def test_train_writes_a_model_that_generates_images(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photos, "PHOTO_FILES", ("astronaut.png",))
    monkeypatch.setattr(dataset, "PHOTO_SIDES", (256,))
    monkeypatch.setattr(samples, "STEPS", 1)
    monkeypatch.setattr(denoiser, "SAMPLES", 1)
    monkeypatch.setattr(denoiser, "BATCH_SIZES", ((2, 64), (1, 64)))
    root = tmp_path / photos.PACKAGE / photos.ROOT
    root.mkdir(parents=True)
    with Image.open(data / "astronaut.png") as photo:
        photo.convert("RGB").save(root / "astronaut.png")
    settings = {"autoencoder_steps": 2, "steps": 2, "scenes": 3}
    train(tmp_path, **settings)
    assert "3 scenes, 1 photos" in capsys.readouterr().out
    assert (tmp_path / "denoiser-000002.png").is_file()
    model = tmp_path / "demo_model"
    before = {path: path.read_bytes() for path in model.rglob("*.safetensors")}
    assert len(before) == 6  # VAE, UNet, text encoder and three ControlNets
    train(tmp_path, **settings)
    assert {path: path.read_bytes() for path in model.rglob("*.safetensors")} == before

    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    nets = [f"controls.{name}.net.name={model}/controlnet-{name}" for name in ("canny", "openpose", "depth")]
    recipe = load_recipe("demo", [f"base.name={model}/base", *nets, "steps=2"])
    blank = np.zeros((64, 64, 3), np.uint8)
    (image,) = ImageGenerator(recipe).generate([GenerationRequest(blank, (blank,) * 3, "anime style", "photo", 1)])
    assert image.pixels is not None
    assert image.pixels.shape == blank.shape
