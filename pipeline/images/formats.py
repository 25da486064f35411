"""The image formats of photos, and the errors of their decoders."""

import struct
import zlib

import pi_heif
from PIL import Image, UnidentifiedImageError

from pipeline.errors import (
    ImageError,
    InvalidImageError,
    TooManyPixelsError,
    TruncatedImageError,
    UnsupportedFormatError,
)

pi_heif.register_heif_opener()
# EPS is excluded because Pillow decodes it with Ghostscript, and rare formats because their decoders are hardly
# fuzzed. The JPEG decoder reads MPO as well.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
# Pillow's decoders raise nearly any exception for a corrupt file. Catch these only around code that decodes.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
ASPECT_TOLERANCE = 0.01  # relative: the sides of a scaled copy are rounded to whole pixels
_TRUNCATED = ("truncated", "broken data stream", "end of file")  # in messages of Pillow, libavif and libheif


def image_error(error: Exception) -> ImageError:
    """Convert an exception of `DECODER_ERRORS` to an error of the photo."""
    message = describe_decode_error(error)
    if isinstance(error, UnidentifiedImageError):
        return UnsupportedFormatError(message)
    if isinstance(error, Image.DecompressionBombError):
        return TooManyPixelsError(message, retryable=True)  # with another limit
    if isinstance(error, EOFError) or any(words in str(error).lower() for words in _TRUNCATED):
        return TruncatedImageError(message)
    return InvalidImageError(message)


def describe_decode_error(error: Exception) -> str:
    """Describe an exception of `DECODER_ERRORS` in the same words each time, without addresses of objects in memory."""
    if isinstance(error, UnidentifiedImageError):  # its message contains the repr of the file object
        return f"the file is not an image of a supported format ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"the image has too many pixels ({error})"
    return f"the image cannot be decoded ({type(error).__name__}: {error})"


def same_aspect_ratio(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two sizes (width, height) have the same aspect ratio, within `ASPECT_TOLERANCE`."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT_TOLERANCE
