"""Open image files, and limit the number of pixels that are decoded.

Pillow limits the size in the header of a file. A JPEG may be decoded at an eighth of its size, so that here the pixels
that are really decoded are limited instead. Decoders may also keep other data in memory, which counts as pixels.
"""

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from pipeline.images.formats import FORMATS
from pipeline.images.jpeg_scans import has_several_scans
from pipeline.images.tiff_tiles import check_tags, tile_pixels

DEFAULT_MAX_PIXELS = 100_000_000
BYTES_PER_PIXEL = 16  # the most that a decoder, and the conversion to 8 bits, were seen to use: WebP with transparency
_COEFFICIENT_BYTES = 2  # of libjpeg, for each pixel and component; subsampled components have fewer coefficients
# Pillow reads comments of PPM byte by byte, and chunks of PNG with several reads. Files of many pixels need more reads.
_MAX_READS, _BYTES_PER_READ = 2**16, 256
_pillow_limit = threading.Lock()


class LimitedReads(io.BytesIO):
    """A file in memory whose number of reads is limited, because a header of many small parts would take minutes.

    Args:
        content: The content of the file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._reads = _MAX_READS + len(content) // _BYTES_PER_READ

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes. Raises `OSError` after too many reads."""
        self._reads -= 1
        if self._reads < 0:
            raise OSError("too many comments or chunks")
        return super().read(size)


@contextmanager
def open_image(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open an image file and read its header. Callers check the pixels with `check_pixels` before they decode them.

    Raises:
        OSError: The image cannot be identified, or its header needs too much memory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # unusual metadata, which does not affect the pixels
        check_tags(file)
        with _without_pillow_limit():
            image = Image.open(file, formats=formats)
        with image:
            yield image


def load_image(
    content: bytes, max_pixels: int = DEFAULT_MAX_PIXELS, check_size: Callable[[tuple[int, int]], None] | None = None
) -> Image.Image:
    """Decode an image file.

    Args:
        content: The content of the file.
        max_pixels: The largest number of pixels.
        check_size: Called with width and height before the pixels are decoded. It raises an error if they are invalid.

    Raises:
        Exception: One of `formats.DECODER_ERRORS`: the file is invalid or has too many pixels.
    """
    with open_image(LimitedReads(content)) as image:
        if check_size:
            check_size(image.size)
        check_pixels(image, buffered_pixels(image, content), max_pixels)
        image.load()
        return image


def buffered_pixels(image: Image.Image, content: bytes) -> int:
    """Return the memory that the decoder needs at any scale, as the number of pixels that need as much.

    Args:
        image: The opened image, at its full scale.
        content: The content of its file.

    Raises:
        OSError: A JPEG has too many scans, or a TIFF has two sizes.
    """
    if isinstance(image, JpegImageFile):
        progressive = "progressive" in image.info
        if has_several_scans(content, image.layers, progressive=progressive):
            return image.width * image.height * image.layers * _COEFFICIENT_BYTES // BYTES_PER_PIXEL
    if isinstance(image, TiffImageFile):
        return tile_pixels(image, content)
    return 0


def check_pixels(image: Image.Image, buffered: int, max_pixels: int) -> None:
    """Check the number of pixels that will be decoded.

    Args:
        image: The opened image. Its size is that of the scale at which it will be decoded.
        buffered: The number of pixels that `buffered_pixels` returned.
        max_pixels: The largest number of pixels.

    Raises:
        Image.DecompressionBombError: There are too many pixels.
    """
    pixels = max(image.width * image.height, buffered)
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
