"""From a photo's bytes to upright RGB pixels of its bucket's size."""

import io
import struct
import warnings
import zlib

from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.faults import DecodeFault
from pipeline.geometry import fit_photo, nearest_bucket
from schemas.work import Row

ORIENTATION_TAG = 0x0112  # EXIF 2.3, Orientation
# The formats that are read: those of photos, none that starts another program (EPS) or is rarely fuzzed.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# What Pillow's readers raise over broken files: nearly anything, so this stands around their calls alone.
BROKEN: tuple[type[Exception], ...] = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def decode(row: Row, buckets: list[tuple[int, int]], fit: str) -> Row:
    """Add the photo's pixels [height, width, 3], uint8, RGB at its bucket's size, and the transform from the source.

    Raises `DecodeFault` for bytes that Pillow cannot read whole, and for pictures beyond Pillow's pixel limit.
    """
    image, orientation = read_upright(row.pop("photo_bytes"))
    transform = fit_photo(image.size, nearest_bucket(image.size, buckets), fit, orientation)
    row["source_width"], row["source_height"] = image.size
    row["transform"] = transform.as_row()
    row["width"], row["height"] = transform.target
    row["pixels"] = transform.picture(image).tobytes()
    return row


def read_upright(content: bytes) -> tuple[Image.Image, int]:
    """Return the picture in `content`, RGB and upright, and the EXIF orientation that it was stored in."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd but readable metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow refuses at twice that size
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                orientation = image.getexif().get(ORIENTATION_TAG, 1)
                return to_rgb(ImageOps.exif_transpose(image)), orientation if orientation in range(1, 9) else 1
    except Image.DecompressionBombError as error:
        message = f"too many pixels: {error}"
        raise DecodeFault(message) from error
    except UnidentifiedImageError as error:  # its own text names a place in memory
        message = f"no readable picture: not one of {', '.join(FORMATS)}"
        raise DecodeFault(message) from error
    except BROKEN as error:
        message = f"no readable picture: {type(error).__name__}: {error}"
        raise DecodeFault(message) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` in RGB: 16-bit greys are scaled to 8 bits, and what is transparent stands on white."""
    if image.mode.startswith(("I", "F")):
        return _grey_to_8_bit(image).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    """Scale by the mode's own range, not by the picture's: `convert` alone cuts everything above 255 off."""
    top = 1.0 if image.mode == "F" else 65535.0
    return image.convert("F").point(lambda value: value * (255.0 / top)).convert("L")
