"""Open a photo, read its header, and decode it to upright sRGB."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from PIL import Image

from pipeline.errors import ImageError
from pipeline.images.color import resizable, to_srgb
from pipeline.images.formats import DECODER_ERRORS, FORMATS, describe_decode_error
from pipeline.images.geometry import ORIENTATION_MATRICES, TRANSPOSED_ORIENTATIONS, Transform, pad_transform

ORIENTATION_TAG = 0x0112  # EXIF 2.3, Orientation


JPEG_SCALES = (8, 4, 2)  # parts of its size at which libjpeg decodes: at 4 in a quarter of the time, 0.5 of 255 apart


@dataclass(frozen=True)
class Photo:
    """A photo whose header is read and whose pixels may still wait: `size` is that of the upright photo."""

    stored: Image.Image
    size: tuple[int, int]
    orientation: int

    def shrink_to(self, scale: float) -> int:
        """Let a JPEG be decoded at the part of its size that is still at least `scale` of it; return that part."""
        full = self.stored.size
        for shrink in JPEG_SCALES:
            if scale * shrink <= 1 and self.stored.draft(None, (full[0] // shrink, full[1] // shrink)):
                return next((k for k in JPEG_SCALES if self.stored.size == (-(-full[0] // k), -(-full[1] // k))), 1)
        return 1

    def to_srgb(self, transform: Transform, background: str) -> tuple[Image.Image, str | None]:
        """Return the upright picture in sRGB, and the profile that its colours came from."""
        drawn = transform.apply_to_stored(resizable(self.stored))
        return to_srgb(drawn, self.stored.info.get("icc_profile"), background)


def read_upright(content: bytes, background: str = "white") -> Image.Image:
    """Return the whole picture in `content`, upright and in sRGB. Raises `ImageError`."""
    with open_photo(content) as photo:
        whole, _ = pad_transform(photo.size, photo.size)
        return photo.to_srgb(replace(whole, orientation=photo.orientation), background)[0]


def read_header(image: Image.Image) -> Photo:
    """Return what the header of an opened image says; orientations that EXIF does not know are upright.

    A TIFF is upright already: Pillow turns it while it loads, and gives its turned size from the beginning.
    """
    said = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION_TAG, 1)
    orientation = said if said in ORIENTATION_MATRICES else 1
    return Photo(image, image.size[::-1] if orientation in TRANSPOSED_ORIENTATIONS else image.size, orientation)


@contextmanager
def open_photo(content: bytes) -> Iterator[Photo]:
    """Open a photo, and turn whatever Pillow raises over it into a `ImageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd but readable metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow refuses at twice that size
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield read_header(image)
    except Image.DecompressionBombError as error:
        message = f"too many pixels: {error}"
        raise ImageError(message) from error
    except DECODER_ERRORS as error:
        raise ImageError(describe_decode_error(error)) from error
