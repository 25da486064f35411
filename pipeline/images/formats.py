"""What Pillow is asked to read, and what it may raise over it."""

import struct
import zlib

import pi_heif
from PIL import Image, UnidentifiedImageError

pi_heif.register_heif_opener()
# The formats of photos: none that starts another program (EPS) or is rarely fuzzed. JPEG's reader takes MPO too.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
# What Pillow's readers raise over broken files: nearly anything, so this stands around their calls alone.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
ASPECT_TOLERANCE = 0.01  # a map or mask may be smaller than its photo, but of the same shape


def describe_decode_error(error: Exception) -> str:
    """Say what is wrong with a picture, of what Pillow raised: its own text may name a place in memory."""
    if isinstance(error, UnidentifiedImageError):
        return f"no readable picture: not one of {', '.join(FORMATS)}"
    return f"no readable picture: {type(error).__name__}: {error}"


def same_aspect_ratio(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes (width, height) have the same aspect ratio, nearly."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT_TOLERANCE
