"""Convert the fields of a canvas to geometry and pixels, and scale a canvas to the size of an upscaled image."""

import io
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.arrays import Pixels
from pipeline.images.geometry import Padding, Transform, transform_from_row
from pipeline.images.masks import nonzero_pixels
from schemas.row_parts import Canvas, ControlMap, Labels, PaddingColumns, TransformColumns

VISIBILITY = 2  # position of the visibility among the three numbers of a keypoint


def transform_columns(transform: Transform) -> TransformColumns:
    """Return a transform as the fields of a row."""
    return TransformColumns(**transform.as_row())  # type: ignore[arg-type]  # a dictionary of fields


def padding_columns(padding: Padding) -> PaddingColumns:
    """Return a padding as the fields of a row."""
    return PaddingColumns(**asdict(padding))


def image_size(canvas: Canvas) -> tuple[int, int]:
    """Return width and height of the image, which is the canvas without its padding."""
    padding = canvas.padding
    return canvas.width - padding.left - padding.right, canvas.height - padding.top - padding.bottom


def canvas_transform(canvas: Canvas) -> Transform:
    """Return the transform from the upright photo to the image."""
    source = (canvas.source_width, canvas.source_height)
    return transform_from_row(asdict(canvas.transform), source, image_size(canvas))


def canvas_padding(canvas: Canvas) -> Padding:
    """Return the padding of the canvas around the image."""
    return Padding(**asdict(canvas.padding))


def canvas_mask(canvas: Canvas) -> NDArray[np.bool_] | None:
    """Return where the manifest's mask is not 0 on the canvas, [H, W]. Returns None if there is no mask."""
    if canvas.mask is None:
        return None
    with Image.open(io.BytesIO(canvas.mask)) as image:
        values = np.asarray(image)  # [h, w] or [h, w, C], without the padding of the canvas
    return canvas_padding(canvas).pad(nonzero_pixels(values), edge=False)


def map_pixels(control_map: ControlMap | None) -> Pixels:
    """Return the pixels of a control map. Raises ValueError if an earlier step removed or did not detect them."""
    if control_map is None or control_map.pixels is None:
        raise ValueError("the row has a control map without pixels")
    return control_map.pixels


def enlarge_canvas(canvas: Canvas, times: int) -> Canvas:
    """Return the canvas of an image that is enlarged by the factor `times`. Its values are in pixels of that image."""
    if times == 1:
        return canvas
    transform = canvas_transform(canvas).enlarged(times)
    return replace(
        canvas,
        width=canvas.width * times,
        height=canvas.height * times,
        transform=transform_columns(transform),
        padding=padding_columns(canvas_padding(canvas).enlarged(times)),
        labels=_enlarge_labels(canvas.labels, times),
        mask=canvas.mask and _resize_mask(canvas.mask, transform.target),
    )


def _enlarge_labels(labels: Labels, times: int) -> Labels:
    boxes, keypoints = labels.boxes, labels.keypoints
    return replace(
        labels,
        boxes=boxes
        and tuple(replace(box, **{side: getattr(box, side) * times for side in ("x", "y", "w", "h")}) for box in boxes),
        keypoints=keypoints and tuple(replace(each, points=_enlarge_points(each.points, times)) for each in keypoints),
    )


def _enlarge_points(numbers: tuple[float, ...], times: int) -> tuple[float, ...]:
    """Return x, y, visibility, x, y, ... with x and y multiplied."""
    return tuple(number if at % 3 == VISIBILITY else number * times for at, number in enumerate(numbers))


def _resize_mask(content: bytes, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as mask:
        mask.resize(size, Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue()
