"""A mask of the manifest in the picture's pixels: its values stay what they are, classes, instances or just 255."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import LabelError
from pipeline.images.formats import DECODER_ERRORS, FORMATS, describe_decode_error, same_aspect_ratio
from pipeline.images.geometry import Transform

LOSSLESS_MODES = frozenset({"1", "L", "P", "I", "I;16", "RGB", "RGBA", "LA"})  # modes that PNG keeps


def fit_mask(content: bytes, transform: Transform) -> tuple[bytes, float]:
    """Return a mask through the photo's own transform as a PNG in its own mode, and the share of it that is left.

    The mask lies on the upright photo, whatever its own EXIF says; of nothing, all is left. Raises `LabelError`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
    except DECODER_ERRORS as error:
        message = f"mask_uri: {describe_decode_error(error)}"
        raise LabelError(message) from error
    if not same_aspect_ratio(image.size, transform.source):
        wide, high = transform.source
        message = f"mask_uri: {image.width}x{image.height} is not of the photo's shape {wide}x{high}"
        raise LabelError(message)
    if image.mode not in LOSSLESS_MODES:
        message = f"mask_uri: a picture of mode {image.mode} holds no classes ({', '.join(sorted(LOSSLESS_MODES))} do)"
        raise LabelError(message)
    buffer = io.BytesIO()
    transform.apply(image, Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue(), _visible(image, transform)


def nonzero_pixels(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a mask [H, W] or [H, W, C] is not 0."""
    return np.asarray(values.reshape(*values.shape[:2], -1).any(axis=2))


def _visible(image: Image.Image, transform: Transform) -> float:
    covered = nonzero_pixels(np.asarray(image))  # [h, w]
    left, top, right, bottom = (round(side) for side in transform.visible_box(image.size))
    total = np.count_nonzero(covered)
    return float(np.count_nonzero(covered[top:bottom, left:right]) / total) if total else 1.0
