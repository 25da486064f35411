"""Encoding writes the pixels of the image without the padding of the canvas."""

import io
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.images.arrays import Pixels
from pipeline.steps import encode as module
from pipeline.steps.chain import ChainSettings, photo_steps
from pipeline.steps.encode import ENCODER_THREADS, encode
from pipeline.steps.row_step import rows_to_table, table_to_rows
from pipeline.storage.limits import Access
from schemas.recipe import Output, Recipe
from schemas.row_parts import MadeBy
from schemas.work import Converted, Encoded
from tests.rows import decoded_row, edit

MADE_BY = MadeBy("cpu", "float32", "DDIMScheduler", "{}", (), "{}")
PADDING = {"left": 3, "top": 5, "right": 0, "bottom": 1}


@pytest.fixture
def pixels() -> Pixels:
    ramp = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(48, 64, 3)
    ramp[:, :, 0] = 200
    return ramp


def converted(pixels: Pixels, size: tuple[int, int] = (64, 48), **canvas: Any) -> Converted:
    row = decoded_row(np.zeros((size[1], size[0], 3), np.uint8), size)
    return edit(Converted(row.planned, row.timing, row.source, row.canvas, (), MADE_BY, pixels), canvas=canvas)


def open_image(row: Encoded) -> Image.Image:
    return Image.open(io.BytesIO(row.image or b""))


def test_png_has_the_pixels(pixels: Pixels) -> None:
    image = open_image(encode(converted(pixels), Output(format="png")))
    assert (image.format, image.size) == ("PNG", (64, 48))
    assert (np.asarray(image) == pixels).all()


@pytest.mark.parametrize("kind", ["webp", "jpeg"])
def test_lossy_formats_are_similar_and_use_the_quality(pixels: Pixels, kind: str) -> None:
    low, high = (encode(converted(pixels), Output.model_validate({"format": kind, "quality": q})) for q in (10, 95))
    assert open_image(high).format == kind.upper()
    assert np.abs(np.asarray(open_image(high), np.int16) - pixels).mean() < 4
    assert len(low.image or b"") < len(high.image or b"")


def test_the_images_of_a_unit_are_encoded_several_at_once(
    pixels: Pixels, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = Barrier(ENCODER_THREADS, timeout=60)  # passes only if so many images are encoded at once
    encode_pixels = module.encode_pixels

    def wait(pixels: Pixels, output: Output) -> bytes:
        barrier.wait()
        return encode_pixels(pixels, output)

    monkeypatch.setattr(module, "encode_pixels", wait)
    step = photo_steps(ChainSettings(recipe, Access(frozenset())))[-1].create()
    table = step(rows_to_table([converted(pixels)] * ENCODER_THREADS, Converted))
    assert {row.image[:4] for row in table_to_rows(table, Encoded) if isinstance(row, Encoded) and row.image} == {
        b"\x89PNG"
    }


def test_the_padding_is_removed(pixels: Pixels) -> None:
    image = open_image(encode(converted(pixels, padding=PADDING), Output()))
    assert (np.asarray(image) == pixels[5:47, 3:]).all()


def test_the_padding_of_an_enlarged_image_is_removed(pixels: Pixels) -> None:
    large = pixels.repeat(2, axis=0).repeat(2, axis=1)
    image = open_image(encode(converted(large, padding=PADDING), Output(), enlargement=2))
    assert (np.asarray(image) == large[10:94, 6:]).all()
