"""The training command from photos to a model that the converter loads; a second call only loads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import dataset, denoiser, photos, samples
from jobs.demo_model.train import train
from pipeline.recipes.load import load_recipe


@pytest.mark.timeout(180)
def test_a_few_steps_make_a_model_that_draws(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photos, "NAMES", ("astronaut.png",))
    monkeypatch.setattr(dataset, "PHOTO_SIDES", (256,))
    monkeypatch.setattr(samples, "STEPS", 1)
    monkeypatch.setattr(denoiser, "SHOWN", 1)
    root = tmp_path / photos.PACKAGE / photos.ROOT
    root.mkdir(parents=True)
    with Image.open(data / "astronaut.png") as photo:
        photo.convert("RGB").save(root / "astronaut.png")
    settings = {"autoencoder_steps": 2, "steps": 2, "scenes": 3}
    train(tmp_path, **settings)
    said = capsys.readouterr().out
    assert "3 scenes, 1 photos and details, on " in said
    assert (tmp_path / "denoiser-000002.png").is_file()
    before = {path.name: path.read_bytes() for path in (tmp_path / "demo_model").rglob("*.safetensors")}
    train(tmp_path, **settings)
    assert {path.name: path.read_bytes() for path in (tmp_path / "demo_model").rglob("*.safetensors")} == before

    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    model = tmp_path / "demo_model"
    nets = [f"controls.{name}.net.name={model}/controlnet-{name}" for name in ("canny", "openpose", "depth")]
    recipe = load_recipe("demo", [f"base.name={model}/base", *nets, "steps=2"])
    nothing = np.zeros((64, 64, 3), np.uint8)
    (drawn,) = ImageGenerator(recipe).generate([GenerationRequest(nothing, (nothing,) * 3, "anime style", "photo", 1)])
    assert drawn.pixels is not None
    assert drawn.pixels.shape == nothing.shape
