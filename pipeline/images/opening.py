"""Open image files, and limit the number of pixels that are decoded.

Pillow limits the size in the header of a file. A JPEG may be decoded at an eighth of its size, so that here the pixels
that are really decoded are limited instead.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image

from pipeline.images.formats import FORMATS

DEFAULT_MAX_PIXELS = 100_000_000
BYTES_PER_PIXEL = 16  # the most that a decoder, and the conversion to 8 bits, were seen to use: WebP with transparency
# A progressive JPEG is kept as coefficients of the full size, of at most 6 bytes for each pixel, at any scale.
_PROGRESSIVE_BYTES = 6
_pillow_limit = threading.Lock()


@contextmanager
def open_image(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open an image file and read its header. Callers check the pixels with `check_pixels` before they decode them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # unusual metadata, which does not affect the pixels
        with _without_pillow_limit():
            image = Image.open(file, formats=formats)
        with image:
            yield image


def load_image(content: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Decode an image file. Raises one of `formats.DECODER_ERRORS` if it is invalid or has too many pixels."""
    with open_image(io.BytesIO(content)) as image:
        check_pixels(image, image.size, max_pixels)
        image.load()
        return image


def check_pixels(image: Image.Image, full: tuple[int, int], max_pixels: int) -> None:
    """Check the number of pixels that will be decoded.

    Args:
        image: The opened image. Its size is that of the scale at which it will be decoded.
        full: Width and height of the image at its full scale.
        max_pixels: The largest number of pixels.

    Raises:
        Image.DecompressionBombError: There are too many pixels.
    """
    pixels = image.size[0] * image.size[1]
    if image.info.get("progressive"):
        pixels = max(pixels, full[0] * full[1] * _PROGRESSIVE_BYTES // BYTES_PER_PIXEL)
    if pixels > max_pixels:
        raise Image.DecompressionBombError(f"{pixels} pixels would be decoded, and the limit is {max_pixels}")


@contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Switch off the limit of Pillow, which is a setting of the whole process, while the header of a file is read."""
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
