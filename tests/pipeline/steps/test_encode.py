"""Encoding: the file shows the pixels of the picture, without what was padded."""

import io
from threading import Barrier

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.images.geometry import Padding
from pipeline.steps import encode as module
from pipeline.steps.encode import ENCODER_THREADS, encode
from schemas.recipe import Output, Recipe
from schemas.work import CONVERTED, Row

SIZE = {"width": 64, "height": 48, "padding": Padding().as_row()}


@pytest.fixture
def picture() -> np.ndarray:
    ramp = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(48, 64, 3)
    ramp[:, :, 0] = 200
    return ramp


def encoded(row: Row, pixels: np.ndarray, **output: object) -> Image.Image:
    row = row | {"picture": pixels.tobytes(), **SIZE}
    return Image.open(io.BytesIO(encode(row, Output.model_validate(output))["picture_bytes"]))


def test_png_is_the_pixels(row: Row, picture: np.ndarray) -> None:
    image = encoded(row, picture, format="png")
    assert (image.format, image.size) == ("PNG", (64, 48))
    assert (np.asarray(image) == picture).all()


@pytest.mark.parametrize("kind", ["webp", "jpeg"])
def test_lossy_formats_are_near_it_and_listen_to_quality(row: Row, picture: np.ndarray, kind: str) -> None:
    image = encoded(row, picture, format=kind)
    assert image.format == kind.upper()
    assert np.abs(np.asarray(image, np.int16) - picture).mean() < 4
    both = [encode(row | {"picture": picture.tobytes(), **SIZE}, Output(format=kind, quality=quality)) for quality in (10, 95)]  # fmt: skip  # noqa: E501
    assert len(both[0]["picture_bytes"]) < len(both[1]["picture_bytes"])


def test_a_recipes_pictures_are_encoded_several_at_once(
    row: Row, picture: np.ndarray, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Barrier(ENCODER_THREADS, timeout=30)  # passed by so many at once, and by no fewer

    def met(pixels: np.ndarray, output: Output) -> bytes:
        meeting.wait()
        return made(pixels, output)

    made = module.encode_pixels
    monkeypatch.setattr(module, "encode_pixels", met)
    rows = [row | {"picture": picture.tobytes(), **SIZE, "failure": None} for _ in range(ENCODER_THREADS)]
    table = module.encode_step(recipe)(pa.Table.from_pylist(rows, CONVERTED))
    assert {content[:4] for content in table["picture_bytes"].to_pylist()} == {b"\x89PNG"}


def test_what_was_padded_is_cut_off(row: Row, picture: np.ndarray) -> None:
    padding = {"left": 3, "top": 5, "right": 0, "bottom": 1}
    image = Image.open(
        io.BytesIO(encode(row | {"picture": picture.tobytes(), **SIZE, "padding": padding}, Output())["picture_bytes"])
    )
    assert (np.asarray(image) == picture[5:47, 3:]).all()


def test_an_enlarged_pictures_padding_is_enlarged_too(row: Row, picture: np.ndarray) -> None:
    large = picture.repeat(2, axis=0).repeat(2, axis=1)
    padding = {"left": 3, "top": 5, "right": 0, "bottom": 1}
    drawn = encode(row | {"picture": large.tobytes(), **SIZE, "padding": padding}, Output(), enlargement=2)
    assert (np.asarray(Image.open(io.BytesIO(drawn["picture_bytes"]))) == large[10:94, 6:]).all()
