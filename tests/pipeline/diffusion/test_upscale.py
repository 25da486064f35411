"""The second pass: an enlarged image, generated tile by tile."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.diffusion import upscale
from pipeline.diffusion.batching import DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GeneratedImage, GenerationRequest, Pixels
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe, Upscale
from tests.tiny import pixel_difference, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def upscale_settings(folder: Path, **changes: object) -> dict[str, object]:
    """Return the settings of a second pass by a factor of 2: 3 x 3 tiles for an image of 64x64."""
    return {"net": {"name": str(folder / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 16} | changes


@pytest.mark.parametrize("mode", ["text2img", "img2img", "inpaint"])
def test_second_pass_generates_a_larger_image(sd: Path, mode: str) -> None:
    requests = tiny_requests(2, 1, mode)
    generator = ImageGenerator(tiny_recipe(sd, mode, upscale=upscale_settings(sd)))
    larger_images = generator.generate(requests)
    images = ImageGenerator(tiny_recipe(sd, mode)).generate(requests)
    for larger, image in zip(larger_images, images, strict=True):
        assert larger.pixels is not None
        assert image.pixels is not None
        assert larger.pixels.shape == (128, 128, 3)
        assert (larger.pixels != upscale.enlarge_image(image.pixels, 2)).any()
    assert pixel_difference(generator.generate(requests[1:])[0], larger_images[1]) == 0
    roles = [model.role for model in generator.made_by(requests[0], larger_images[0]).models]
    assert roles == ["base", "controlnet-canny", "controlnet-upscale"]


def test_tiles_of_several_images_share_batches(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd, upscale=upscale_settings(sd)))
    single = generator.generate(tiny_requests(3))
    generator.resize(4)
    batch_sizes: list[int] = []
    embedding_layer = generator._passes[1].pipe.controlnet.embeddings["0"]
    embedding_layer.register_forward_pre_hook(lambda _layer, args: batch_sizes.append(len(args[0])))
    batched = generator.generate(tiny_requests(3))
    guided = 2  # prompts and negative prompts
    assert batch_sizes == [4 * guided] * 7  # 27 tiles in batches of 4, of which the last is padded
    assert max(pixel_difference(*pair) for pair in zip(single, batched, strict=True)) <= 1


def test_image_without_all_of_its_tiles_has_no_pixels(sd: Path) -> None:
    (request,) = tiny_requests(1)
    image = GeneratedImage(request.photo, 4, (DECODED_IN_FLOAT32,))
    tiled = upscale.cut_into_tiles(request, request.photo, Upscale.model_validate(upscale_settings(sd)))
    assert (tiled.height, tiled.width, len(tiled.corners)) == (128, 128, 9)
    assert len({tile.seed for tile in tiled.requests} | {request.seed}) == 10
    tiles = [GeneratedImage(tile.photo, 4) for tile in tiled.requests]
    merged = upscale.merge_tiles(image, tiled, tiles, 16)
    assert merged.pixels is not None
    assert np.abs(merged.pixels.astype(int) - upscale.enlarge_image(request.photo, 2)).max() <= 1
    tiles[4] = GeneratedImage(None, 4, (GENERATED_IN_FLOAT32,))
    failed = upscale.merge_tiles(image, tiled, tiles, 16)
    assert (failed.pixels, failed.retried) == (None, (DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32))


def test_image_has_no_pixels_if_all_tiles_have_a_single_colour(sd: Path) -> None:
    (request,) = tiny_requests(1)
    image = GeneratedImage(request.photo, 4)
    tiled = upscale.cut_into_tiles(request, request.photo, Upscale.model_validate(upscale_settings(sd)))
    white = [GeneratedImage(np.full_like(tile.photo, 255), 4) for tile in tiled.requests]
    assert upscale.merge_tiles(image, tiled, white, 16).pixels is None
    one_white = [white[0], *(GeneratedImage(tile.photo, 4) for tile in tiled.requests[1:])]
    assert upscale.merge_tiles(image, tiled, one_white, 16).pixels is not None


@pytest.fixture
def white_tile_generator(sd: Path) -> ImageGenerator:
    """Load a recipe with tiles in half precision. Its second tile is decoded to white, except in float32."""
    settings = upscale_settings(sd, overlap=0)
    generator, decoded = ImageGenerator(tiny_recipe(sd, upscale=settings), dtype=torch.bfloat16), iter(range(99))

    def hook(layer: Any, _args: object, output: torch.Tensor) -> torch.Tensor | None:
        # Index 0 is the image of the first pass, and 1 is the first tile.
        is_second_tile = layer.weight.dtype == torch.bfloat16 and next(decoded) == 2
        return torch.ones_like(output) if is_second_tile else None

    generator.pipe.vae.decoder.conv_out.register_forward_hook(hook)
    return generator


def test_white_tile_is_retried_if_the_first_pass_has_contrast_there(white_tile_generator: ImageGenerator) -> None:
    (image,) = white_tile_generator.generate(tiny_requests(1))
    assert image.retried == (DECODED_IN_FLOAT32,)
    assert image.pixels is not None
    assert image.pixels[:64, 64:].std() > 5


def test_white_tile_is_valid_if_the_first_pass_is_flat_there(
    white_tile_generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlarge_image = upscale.enlarge_image

    def enlarge_with_wall(image: Pixels, factor: int) -> Pixels:
        enlarged = enlarge_image(image, factor)
        enlarged[:64, 64:] = 250
        return enlarged

    monkeypatch.setattr(upscale, "enlarge_image", enlarge_with_wall)
    (image,) = white_tile_generator.generate(tiny_requests(1))
    assert image.retried == ()
    assert image.pixels is not None
    assert (image.pixels[:64, 64:] == 255).all()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_low_memory_gives_the_same_image(families: dict[str, Path], family: str) -> None:
    recipe = tiny_recipe(families[family])
    requests = tiny_requests(3)
    low_memory = ImageGenerator(recipe.model_copy(update={"memory": "low"})).generate(requests)
    assert (
        max(pixel_difference(*pair) for pair in zip(low_memory, ImageGenerator(recipe).generate(requests), strict=True))
        <= 1
    )


def test_enlarged_image_shows_the_image_of_the_first_pass(data: Path) -> None:
    photos = [Image.open(data / name).convert("RGB").resize((128, 128)) for name in ("astronaut.png", "coffee.png")]
    black = np.zeros((128, 128, 3), np.uint8)
    requests = [
        GenerationRequest(np.asarray(photo), (black,) * 3, "anime style", "photo", seed)
        for seed, photo in enumerate(photos)
    ]
    # The demo model has no tile ControlNet, so another one is used at scale 0.
    net = {"name": "builtin:demo/controlnet-depth"}
    settings = {"net": net, "scale": 0.0, "strength": 0.4, "tile": 128, "overlap": 32}
    demo = load_recipe("demo", ["steps=8"])
    larger_images = ImageGenerator(Recipe.model_validate(demo.model_dump() | {"upscale": settings})).generate(requests)
    images = [image.pixels for image in ImageGenerator(demo).generate(requests)]
    for index, larger in enumerate(larger_images):
        assert larger.pixels is not None
        shrunk = larger.pixels.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))  # [128, 128, 3], float64, 0..255
        assert np.abs(shrunk - images[index]).mean() < 0.5 * np.abs(shrunk - images[1 - index]).mean()


SIDES = st.integers(8, 40).map(lambda eighths: eighths * 8)


@given(height=SIDES, width=SIDES, side=st.sampled_from([64, 128]), overlap=st.sampled_from([0, 8, 32]))
def test_blended_tiles_of_an_image_equal_the_image(height: int, width: int, side: int, overlap: int) -> None:
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    corners = upscale.tile_corners(height, width, side, overlap)
    tiles = [upscale.crop_tile(image, corner, side) for corner in corners]
    assert {tile.shape for tile in tiles} == {(min(height, side), min(width, side), 3)}
    assert all(top % 8 == left % 8 == 0 for top, left in corners)
    for axis, length in enumerate((height, width)):
        starts = sorted({corner[axis] for corner in corners})
        assert all(after - before <= side - overlap for before, after in itertools.pairwise(starts))
        assert starts[-1] + min(side, length) == length
    assert (upscale.blend_tiles(tiles, corners, height, width, overlap) == image).all()


def test_overlapping_tiles_have_a_linear_transition() -> None:
    corners = upscale.tile_corners(64, 96, 64, 32)
    tiles = [np.full((64, 64, 3), value, np.uint8) for value in (50, 200)]
    row = upscale.blend_tiles(tiles, corners, 64, 96, 32)[32, :, 0].astype(int)
    assert (row[:33] == 50).sum() >= 32
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 10


def test_enlarged_image_has_the_same_content() -> None:
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    enlarged = upscale.enlarge_image(ramp, 2)
    assert enlarged.shape == (64, 64, 3)
    assert np.abs(enlarged.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) - ramp).mean() < 2
