"""The second pass: larger, under the first pass's picture, tile by tile, and the same again."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.diffusion import upscale as module
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GeneratedImage, GenerationRequest, Pixels
from pipeline.diffusion.upscale import cut_into_tiles, merge_tiles
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe, Upscale
from tests.tiny import apart, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("mode", ["text2img", "img2img", "inpaint"])
def test_a_picture_is_drawn_again_larger(sd: Path, mode: str) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 16}
    requests = asked(2, 1, mode)
    subject = ImageGenerator(tiny_recipe(sd, mode, upscale=upscale))
    larger = subject.generate(requests)
    first = ImageGenerator(tiny_recipe(sd, mode)).generate(requests)
    for large, small in zip(larger, first, strict=True):
        assert large.pixels is not None
        assert small.pixels is not None
        assert large.pixels.shape == (128, 128, 3)
        assert (large.pixels != module.enlarge_image(small.pixels, 2)).any()
    assert apart(subject.generate(requests[1:])[0], larger[1]) == 0
    roles = [model["role"] for model in subject.made_by(requests[0], larger[0])["models"]]
    assert roles == ["base", "controlnet-canny", "controlnet-upscale"]


def test_tiles_of_all_pictures_fill_the_same_batches(sd: Path) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 16}
    subject = ImageGenerator(tiny_recipe(sd, upscale=upscale))
    alone = subject.generate(asked(3))
    subject.resize(4)
    seen: list[int] = []
    second = subject._passes[1].pipe.controlnet.embeddings["0"]
    second.register_forward_pre_hook(lambda _net, given: seen.append(len(given[0])))
    together = subject.generate(asked(3))
    guided = 2  # prompts and negative prompts
    assert seen == [4 * guided] * 7  # 27 tiles
    assert max(apart(*both) for both in zip(alone, together, strict=True)) <= 1


def test_a_picture_without_all_of_its_tiles_is_none(sd: Path) -> None:
    upscale = Upscale.model_validate({"net": {"name": str(sd / "net-2")}, "tile": 64, "overlap": 16})
    (request,) = asked(1)
    drawing = GeneratedImage(request.photo, 4, ("decoded again in float32",))
    tiled = cut_into_tiles(request, request.photo, upscale)
    assert (tiled.height, tiled.width, len(tiled.places)) == (128, 128, 9)
    assert len({tile.seed for tile in tiled.requests} | {request.seed}) == 10
    drawn = [GeneratedImage(tile.photo, 4) for tile in tiled.requests]
    whole = merge_tiles(drawing, tiled, drawn, 16)
    assert whole.pixels is not None
    assert np.abs(whole.pixels.astype(int) - module.enlarge_image(request.photo, 2)).max() <= 1
    white = [GeneratedImage(np.full_like(tile.photo, 255), 4) for tile in tiled.requests]
    assert merge_tiles(drawing, tiled, white, 16).pixels is None  # of one colour
    drawn[0] = white[0]
    assert merge_tiles(drawing, tiled, drawn, 16).pixels is not None  # as a tile of a white wall is
    drawn[4] = GeneratedImage(None, 4, ("drawn again in float32",))
    none = merge_tiles(drawing, tiled, drawn, 16)
    assert (none.pixels, none.retried) == (None, ("decoded again in float32", "drawn again in float32"))


@pytest.fixture
def halved(sd: Path) -> ImageGenerator:
    """Return a recipe with tiles, in half precision, which draws its second tile white; those of float32 are sound."""
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 0}
    subject, decoded = ImageGenerator(tiny_recipe(sd, upscale=upscale), dtype=torch.bfloat16), iter(range(99))

    def white(layer: Any, _given: object, said: torch.Tensor) -> torch.Tensor | None:
        second = layer.weight.dtype == torch.bfloat16 and next(decoded) == 2  # behind the picture and the first tile
        return torch.ones_like(said) if second else None

    subject.pipe.vae.decoder.conv_out.register_forward_hook(white)
    return subject


def test_a_tile_of_one_colour_is_drawn_again_where_its_place_shows_more(halved: ImageGenerator) -> None:
    (drawing,) = halved.generate(asked(1))
    assert drawing.retried == ("decoded again in float32",)
    assert drawing.pixels is not None
    assert drawing.pixels[:64, 64:].std() > 5


def test_a_tile_of_a_white_wall_is_a_tile(halved: ImageGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    enlarge = module.enlarge_image

    def walled(picture: Pixels, times: int) -> Pixels:
        large = enlarge(picture, times)
        large[:64, 64:] = 250
        return large

    monkeypatch.setattr(module, "enlarge_image", walled)
    (drawing,) = halved.generate(asked(1))
    assert drawing.retried == ()
    assert drawing.pixels is not None
    assert (drawing.pixels[:64, 64:] == 255).all()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_low_memory_draws_the_same_picture(families: dict[str, Path], family: str) -> None:
    recipe = tiny_recipe(families[family])
    requests = asked(3)
    low = ImageGenerator(recipe.model_copy(update={"memory": "low"})).generate(requests)
    assert max(apart(*both) for both in zip(low, ImageGenerator(recipe).generate(requests), strict=True)) <= 1


def test_the_larger_picture_shows_what_the_first_pass_drew(data: Path) -> None:
    photos = [Image.open(data / name).convert("RGB").resize((128, 128)) for name in ("astronaut.png", "coffee.png")]
    nothing = np.zeros((128, 128, 3), np.uint8)
    requests = [
        GenerationRequest(np.asarray(photo), (nothing,) * 3, "anime style", "photo", seed)
        for seed, photo in enumerate(photos)
    ]
    net = {"name": "builtin:demo/controlnet-depth"}  # at scale 0: the demo model has none for tiles
    upscale = {"net": net, "scale": 0.0, "strength": 0.4, "tile": 128, "overlap": 32}
    demo = load_recipe("demo", ["steps=8"])
    larger = ImageGenerator(Recipe.model_validate(demo.model_dump() | {"upscale": upscale})).generate(requests)
    first = [drawing.pixels for drawing in ImageGenerator(demo).generate(requests)]
    for number, drawing in enumerate(larger):
        assert drawing.pixels is not None
        shrunk = drawing.pixels.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
        assert np.abs(shrunk - first[number]).mean() < 0.5 * np.abs(shrunk - first[1 - number]).mean()


SIDES = st.integers(8, 40).map(lambda eighths: eighths * 8)


@given(height=SIDES, width=SIDES, side=st.sampled_from([64, 128]), overlap=st.sampled_from([0, 8, 32]))
def test_tiles_of_a_picture_make_the_picture_again(height: int, width: int, side: int, overlap: int) -> None:
    picture = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    places = module.tile_corners(height, width, side, overlap)
    cut = [module.crop_tile(picture, place, side) for place in places]
    assert {tile.shape for tile in cut} == {(min(height, side), min(width, side), 3)}
    assert all(top % 8 == left % 8 == 0 for top, left in places)
    for axis, length in enumerate((height, width)):
        starts = sorted({place[axis] for place in places})
        assert all(after - before <= side - overlap for before, after in itertools.pairwise(starts))
        assert starts[-1] + min(side, length) == length
    assert (module.blend_tiles(cut, places, height, width, overlap) == picture).all()


def test_tiles_pass_into_each_other_evenly() -> None:
    places = module.tile_corners(64, 96, 64, 32)
    made = [np.full((64, 64, 3), value, np.uint8) for value in (50, 200)]
    whole = module.blend_tiles(made, places, 64, 96, 32)[32, :, 0].astype(int)
    assert (whole[:33] == 50).sum() >= 32
    assert (np.diff(whole) >= 0).all()
    assert np.diff(whole).max() <= 10


def test_an_enlarged_picture_is_the_picture_larger() -> None:
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    large = module.enlarge_image(ramp, 2)
    assert large.shape == (64, 64, 3)
    assert np.abs(large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) - ramp).mean() < 2
