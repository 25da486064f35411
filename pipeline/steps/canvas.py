"""What a row says of its canvas: where the photo went, its pixels, and what the manifest's mask covers of it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.arrays import Pixels
from pipeline.images.geometry import Padding, Transform, transform_from_row
from pipeline.images.masks import nonzero_pixels
from schemas.work import Row


def row_transform(row: Row) -> Transform:
    """Return the transform from the upright photo to the picture, which is the canvas without its padding."""
    padding = row_padding(row)
    target = (row["width"] - padding.left - padding.right, row["height"] - padding.top - padding.bottom)
    return transform_from_row(row["transform"], (row["source_width"], row["source_height"]), target)


def row_padding(row: Row) -> Padding:
    """Return what the canvas adds around the picture."""
    return Padding(**row["padding"])


def as_pixels(row: Row, raw: bytes, times: int = 1) -> Pixels:
    """Return raw bytes of `times` the canvas's size as pixels [H, W, 3], uint8, 0..255, not to be written to."""
    return np.frombuffer(raw, np.uint8).reshape(row["height"] * times, row["width"] * times, 3)


def row_mask(row: Row) -> NDArray[np.bool_]:
    """Return what the manifest's mask covers of the canvas [H, W]: all that is not 0 in it. The row must have one."""
    with Image.open(io.BytesIO(row["mask"])) as image:
        values = np.asarray(image)  # [h, w] or [h, w, C], of the picture without its padding
    return row_padding(row).pad(nonzero_pixels(values), edge=False)


def enlarged_columns(row: Row, times: int) -> Row:
    """Return the columns that change when a row's picture is `times` as wide and high; none of the maps' does."""
    if times == 1 or row["failure"]:
        return {}
    transform = row_transform(row).enlarged(times)
    return {
        "transform": transform.as_row(),
        "padding": row_padding(row).enlarged(times).as_row(),
        "labels": _labels(row["labels"], times),
        "mask": row["mask"] and _mask(row["mask"], transform.target),
    }


def _labels(labels: Row, times: int) -> Row:
    boxes, keypoints = labels["boxes"], labels["keypoints"]
    return labels | {
        "boxes": boxes and [box | {side: box[side] * times for side in "xywh"} for box in boxes],
        "keypoints": keypoints and [each | {"points": _points(each["points"], times)} for each in keypoints],
    }


def _points(numbers: list[float], times: int) -> list[float]:
    """Return x, y, visibility, x, y, … with x and y multiplied."""
    return [number if place % 3 == 2 else number * times for place, number in enumerate(numbers)]  # noqa: PLR2004


def _mask(content: bytes, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as mask:
        mask.resize(size, Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue()
