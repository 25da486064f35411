"""Generation on a GPU in float16: batches, memory, compilation and the dtype hardly change an image."""

import numpy as np
import pytest
import torch

from pipeline.diffusion import memory
from pipeline.diffusion.batching import DECODED_IN_FLOAT32
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest, Pixels
from pipeline.recipes.load import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
TOLERANCE = 6  # of 255, for each value


def build_requests(count: int) -> list[GenerationRequest]:
    """Build requests with random photos and maps of 256x256 pixels."""
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (count, 256, 256, 3), np.uint8) for _ in range(4))
    return [
        GenerationRequest(photo, tuple(photo_maps), "anime", "photo", seed)
        for seed, (photo, *photo_maps) in enumerate(zip(photos, *maps, strict=True))
    ]


def build_generator(*settings: str) -> ImageGenerator:
    """Build a generator for the demo recipe in float16 with changed settings."""
    return ImageGenerator(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=2", "compile=off", *settings]))


def generate(*settings: str) -> list[Pixels]:
    """Generate two images with the demo recipe and changed settings."""
    images = build_generator(*settings).generate(build_requests(2))
    return [image.pixels for image in images if image.pixels is not None]


def test_the_position_in_the_batch_hardly_changes_an_image() -> None:
    generator = ImageGenerator(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=4"]))
    requests, order = build_requests(4), [2, 0, 3, 1]
    images = generator.generate(requests)
    reordered = generator.generate([requests[number] for number in order])
    assert generator.made_by(requests[0], images[0]).dtype == "float16"
    for number, image in zip(order, reordered, strict=True):
        assert np.abs(image.pixels.astype(int) - images[number].pixels).max() <= TOLERANCE


@pytest.mark.parametrize("setting", ["memory=low", "compile=on"])
def test_low_memory_and_compilation_hardly_change_an_image(setting: str) -> None:
    for expected, image in zip(generate(), generate(setting), strict=True):
        assert np.abs(expected.astype(int) - image).mean() <= 1


def test_offloading_controlnets_one_by_one_hardly_changes_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONTROLNET_MEMORY", 0)  # so that the ControlNets never fit together
    for expected, image in zip(generate(), generate("memory=low"), strict=True):
        assert np.abs(expected.astype(int) - image).mean() <= 1


def test_an_image_that_is_not_finite_is_decoded_again_in_float32() -> None:
    generator = build_generator()
    # The decoder returns NaN in float16, and its own output in float32.
    generator.pipe.vae.decoder.register_forward_hook(
        lambda layer, _inputs, output: (
            output * float("nan") if next(layer.parameters()).dtype == torch.float16 else None
        )
    )
    for image in generator.generate(build_requests(2)):
        assert image.retried == (DECODED_IN_FLOAT32,)
        assert image.pixels is not None


def noise(dtype: torch.dtype) -> torch.Tensor:
    """Draw noise of one seed in a dtype."""
    return torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=dtype).float()


@pytest.mark.skipif(
    not torch.allclose(noise(torch.float16), noise(torch.float32), atol=0.01),
    reason=f"torch {torch.__version__} draws other noise in float16 than in float32 from the same seed",
)
def test_images_in_float16_are_close_to_those_in_float32() -> None:
    for expected, image in zip(generate(), generate("dtype=float32"), strict=True):
        assert np.abs(expected.astype(int) - image).mean() <= 2
