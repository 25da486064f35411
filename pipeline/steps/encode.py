"""From a picture's pixels to the bytes of its file."""

import io
from functools import partial

import numpy as np
from PIL import Image

from pipeline.steps.canvas import padding_of, pixels_of
from pipeline.steps.row_step import Each
from schemas.recipe import Output, Recipe
from schemas.work import ENCODED, Row

THREADS = 4
"""Pictures that are encoded at once, while the next unit is drawn: Pillow compresses without Python's lock."""
EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg"}


def encode(row: Row, output: Output, enlargement: int = 1) -> Row:
    """Replace the canvas's pixels by the bytes of the picture's file, which is the canvas without its padding.

    `enlargement` is how many times as large as the canvas the picture is.
    """
    pixels = padding_of(row).enlarged(enlargement).cut(pixels_of(row, row.pop("picture"), enlargement))  # [H, W, 3]
    row["picture_bytes"] = encoded(pixels, output)
    return row


def encoder(recipe: Recipe) -> Each:
    """Return the step that encodes the pictures of a recipe, several at once."""
    step = partial(encode, output=recipe.output, enlargement=recipe.enlargement)
    return Each("encode", step, ENCODED, threads=THREADS)


def encoded(pixels: np.ndarray, output: Output) -> bytes:
    """Return [H, W, 3] uint8 RGB pixels as the bytes of a file of the chosen format."""
    buffer = io.BytesIO()
    settings = {} if output.format == "png" else {"quality": output.quality}
    Image.fromarray(pixels).save(buffer, output.format, **settings)
    return buffer.getvalue()
