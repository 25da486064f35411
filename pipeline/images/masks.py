"""Resample a mask of the manifest to the pixels of the image. The values that Pillow reads are kept."""

import io
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from pipeline.errors import InvalidMaskError, MaskShapeError
from pipeline.images.formats import DECODER_ERRORS, describe_decode_error, same_aspect_ratio
from pipeline.images.geometry import Transform
from pipeline.images.opening import DEFAULT_MAX_PIXELS, load_image

LOSSLESS_MODES = frozenset({"1", "L", "P", "I;16", "RGB", "RGBA", "LA"})  # the modes that Pillow writes as PNG


def fit_mask(content: bytes, transform: Transform, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[bytes, float]:
    """Apply the transform of a photo to its mask.

    Args:
        content: An image file that covers the upright photo, at any size. Its own EXIF orientation is ignored, except
            in TIFF, where Pillow applies it.
        transform: The transform of the photo.
        max_pixels: The largest number of pixels of the mask.

    Returns:
        The mask as a PNG of the same mode, or of 16 bits for the modes I and I;16B of TIFF, and the fraction of the
        mask's nonzero pixels that are inside the image. The fraction is 1 if the mask has no nonzero pixels.

    Raises:
        InvalidMaskError: The mask cannot be decoded, has too many pixels, or PNG does not support its mode or values.
        MaskShapeError: The mask does not have the aspect ratio of the photo.
    """
    try:
        image = load_image(content, max_pixels, partial(_check_shape, photo=transform.source))
    except DECODER_ERRORS as error:
        raise InvalidMaskError(f"mask_uri: {describe_decode_error(error)}") from error
    mask = _to_16_bits(image) if _has_other_integers(image) else image
    if mask.mode not in LOSSLESS_MODES:
        modes = ", ".join(sorted(LOSSLESS_MODES))
        raise InvalidMaskError(f"mask_uri: mode {mask.mode} is not one of the supported modes ({modes})")
    buffer = io.BytesIO()
    transform.apply(mask, Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue(), _visible_share(mask, transform)


def nonzero_pixels(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each pixel of a mask [H, W] or [H, W, C] is nonzero in at least one channel, [H, W]."""
    return np.asarray(values.reshape(*values.shape[:2], -1).any(axis=2))


def _check_shape(mask: tuple[int, int], photo: tuple[int, int]) -> None:
    if not same_aspect_ratio(mask, photo):
        sizes = [f"{width}x{height}" for width, height in (mask, photo)]
        raise MaskShapeError("mask_uri: the mask of {} does not have the aspect ratio of the photo, {}".format(*sizes))


def _has_other_integers(image: Image.Image) -> bool:
    """Return whether an image is a TIFF whose integers Pillow reads correctly, but does not write as PNG.

    Pillow swaps the bytes of compressed signed integers in big-endian TIFFs, and rescales those of other formats.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.mode == "I;16B" or (image.mode == "I" and image.tag_v2.prefix == b"II")


def _to_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)  # [h, w], int32
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise InvalidMaskError("mask_uri: a PNG cannot store values outside of 0..65535")
    return Image.fromarray(values.astype(np.uint16))


def _visible_share(image: Image.Image, transform: Transform) -> float:
    nonzero = nonzero_pixels(np.asarray(image))  # [h, w], bool
    left, top, right, bottom = (round(side) for side in transform.visible_box(image.size))
    total = np.count_nonzero(nonzero)
    return float(np.count_nonzero(nonzero[top:bottom, left:right]) / total) if total else 1.0
