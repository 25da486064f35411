"""Encode the pixels of an image as the bytes of its file."""

import io
from functools import partial

from PIL import Image

from pipeline.images.arrays import Pixels
from pipeline.steps.canvas import canvas_padding
from schemas.recipe import Output, Recipe
from schemas.work import Converted, Encoded

ENCODER_THREADS = 4
"""Images that are encoded at once. Pillow compresses without Python's interpreter lock."""
FILE_EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg"}


def encode(row: Converted, output: Output, enlargement: int = 1) -> Encoded:
    """Encode the image of a row without the padding of its canvas.

    Args:
        row: A row with an image.
        output: The file format.
        enlargement: The factor by which the image is wider and higher than the canvas.
    """
    pixels = canvas_padding(row.canvas).enlarged(enlargement).cut(row.image)  # [H, W, 3], uint8, RGB
    content = encode_pixels(pixels, output)
    return Encoded(row.planned, row.timing, row.source, row.canvas, row.maps, row.made_by, content)


def encode_function(recipe: Recipe) -> "partial[Encoded]":
    """Return `encode` with the settings of a recipe."""
    return partial(encode, output=recipe.output, enlargement=recipe.enlargement)


def encode_pixels(pixels: Pixels, output: Output) -> bytes:
    """Return pixels [H, W, 3] as the bytes of an image file."""
    buffer = io.BytesIO()
    settings = {} if output.format == "png" else {"quality": output.quality}
    Image.fromarray(pixels).save(buffer, output.format, **settings)
    return buffer.getvalue()
