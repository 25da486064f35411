"""From a picture's pixels to the bytes of its file."""

import io

import numpy as np
from PIL import Image

from pipeline.canvas import padding_of, pixels_of
from pipeline.faults import PictureFault
from schemas.recipe import Output
from schemas.work import Row

EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg"}


def encode(row: Row, output: Output) -> Row:
    """Replace the canvas's pixels by the bytes of the picture's file, which is the canvas without its padding.

    Raises `PictureFault` for a picture that shows nothing.
    """
    raw = row.pop("picture")
    if raw is None:
        message = "the converter's picture is not finite"
        raise PictureFault(message)
    pixels = padding_of(row).cut(pixels_of(row, raw))  # [H, W, 3], RGB, 0..255
    if pixels.min() == pixels.max():
        message = f"the converter's picture is of one colour ({pixels[0, 0].tolist()})"
        raise PictureFault(message)
    row["picture_bytes"] = encoded(pixels, output)
    return row


def encoded(pixels: np.ndarray, output: Output) -> bytes:
    """Return [H, W, 3] uint8 RGB pixels as the bytes of a file of the chosen format."""
    buffer = io.BytesIO()
    settings = {} if output.format == "png" else {"quality": output.quality}
    Image.fromarray(pixels).save(buffer, output.format, **settings)
    return buffer.getvalue()
