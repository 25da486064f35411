"""What a row says of a picture that a second pass made larger: the transform, and labels in its pixels."""

import io

from PIL import Image

from pipeline.canvas import padding_of, transform_of
from schemas.work import Row


def enlarged(row: Row, times: int) -> Row:
    """Return the columns that change when a row's picture is `times` as wide and high; none of the maps' does."""
    if times == 1 or row["failure"]:
        return {}
    transform = transform_of(row).enlarged(times)
    return {
        "transform": transform.as_row(),
        "padding": padding_of(row).enlarged(times).as_row(),
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
