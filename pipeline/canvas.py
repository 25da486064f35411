"""What a row says of its canvas: where the photo went, its pixels, and what the manifest's mask covers of it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.detectors import Pixels
from pipeline.geometry import Padding, Transform, transform_from_row
from pipeline.masks import not_zero
from schemas.work import Row


def transform_of(row: Row) -> Transform:
    """Return the transform from the upright photo to the picture, which is the canvas without its padding."""
    padding = padding_of(row)
    target = (row["width"] - padding.left - padding.right, row["height"] - padding.top - padding.bottom)
    return transform_from_row(row["transform"], (row["source_width"], row["source_height"]), target)


def padding_of(row: Row) -> Padding:
    """Return what the canvas adds around the picture."""
    return Padding(**row["padding"])


def pixels_of(row: Row, raw: bytes, times: int = 1) -> Pixels:
    """Return raw bytes of `times` the canvas's size as pixels [H, W, 3], uint8, 0..255, not to be written to."""
    return np.frombuffer(raw, np.uint8).reshape(row["height"] * times, row["width"] * times, 3)


def covered(row: Row) -> NDArray[np.bool_]:
    """Return what the manifest's mask covers of the canvas [H, W]: all that is not 0 in it. The row must have one."""
    with Image.open(io.BytesIO(row["mask"])) as image:
        values = np.asarray(image)  # [h, w] or [h, w, C], of the picture without its padding
    return padding_of(row).pad(not_zero(values), edge=False)
