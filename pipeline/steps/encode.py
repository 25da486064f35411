"""From a picture's pixels to the bytes of its file."""

import io
from functools import partial

import numpy as np
from PIL import Image

from pipeline.steps.canvas import as_pixels, row_padding
from pipeline.steps.row_step import RowStep
from schemas.recipe import Output, Recipe
from schemas.work import ENCODED, Row

ENCODER_THREADS = 4
"""Pictures that are encoded at once, while the next unit is drawn: Pillow compresses without Python's lock."""
FILE_EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg"}


def encode(row: Row, output: Output, enlargement: int = 1) -> Row:
    """Replace the canvas's pixels by the bytes of the picture's file, which is the canvas without its padding.

    `enlargement` is how many times as large as the canvas the picture is.
    """
    pixels = row_padding(row).enlarged(enlargement).cut(as_pixels(row, row.pop("picture"), enlargement))  # [H, W, 3]
    row["picture_bytes"] = encode_pixels(pixels, output)
    return row


def encode_step(recipe: Recipe) -> RowStep:
    """Return the step that encodes the pictures of a recipe, several at once."""
    step = partial(encode, output=recipe.output, enlargement=recipe.enlargement)
    return RowStep("encode", step, ENCODED, threads=ENCODER_THREADS)


def encode_pixels(pixels: np.ndarray, output: Output) -> bytes:
    """Return [H, W, 3] uint8 RGB pixels as the bytes of a file of the chosen format."""
    buffer = io.BytesIO()
    settings = {} if output.format == "png" else {"quality": output.quality}
    Image.fromarray(pixels).save(buffer, output.format, **settings)
    return buffer.getvalue()
