"""Open a photo, read its header, and decode it to upright sRGB pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from PIL import Image

from pipeline.images.color import to_resizable, to_srgb
from pipeline.images.formats import DECODER_ERRORS, image_error
from pipeline.images.geometry import TRANSPOSED_ORIENTATIONS, UPRIGHT_OPERATIONS, Transform, pad_transform
from pipeline.images.opening import DEFAULT_MAX_PIXELS, LimitedReads, buffered_pixels, check_pixels, open_image

ORIENTATION_TAG = 0x0112  # EXIF 2.3, Orientation
# libjpeg can decode at 1/8, 1/4 and 1/2 of the size. At 1/4 it takes a quarter of the time, and pixels differ from
# those of a full decode by 0.5 of 255 on average.
JPEG_SCALES = (8, 4, 2)


@dataclass(frozen=True)
class Photo:
    """An opened photo, with the size and the orientation from its header. Pixels are decoded on demand.

    Attributes:
        stored: The image as Pillow opened it, before the EXIF orientation is applied.
        size: Width and height of the upright photo in pixels.
        orientation: The EXIF orientation that has to be applied, 1 to 8.
        max_pixels: The largest number of pixels to decode.
        buffered: The number of pixels that `opening.buffered_pixels` returned.
    """

    stored: Image.Image
    size: tuple[int, int]
    orientation: int
    max_pixels: int = DEFAULT_MAX_PIXELS
    buffered: int = 0

    def shrink_to(self, scale: float) -> int:
        """Let libjpeg decode a JPEG at the smallest fraction of its size that is at least `scale`.

        Returns:
            The denominator of the fraction: 8, 4, 2, or 1 for the full size and for other formats.
        """
        full = self.stored.size
        for shrink in JPEG_SCALES:
            if scale * shrink <= 1 and self.stored.draft(None, (full[0] // shrink, full[1] // shrink)):
                return next((k for k in JPEG_SCALES if self.stored.size == (-(-full[0] // k), -(-full[1] // k))), 1)
        return 1

    def to_srgb(self, transform: Transform, background: str) -> tuple[Image.Image, str | None]:
        """Decode and resample the photo to an upright sRGB image.

        Args:
            transform: The transform from the photo to the image.
            background: The colour under transparent pixels, a CSS colour such as `white`.

        Returns:
            The image, and the name of the colour profile of the photo as `color.to_srgb` returns it.

        Raises:
            Image.DecompressionBombError: Too many pixels would be decoded. `open_photo` converts it.
        """
        check_pixels(self.stored, self.buffered, self.max_pixels)
        image = transform.apply_to_stored(to_resizable(self.stored))
        return to_srgb(image, self.stored.info.get("icc_profile"), background)


def read_upright(content: bytes, background: str = "white", max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Decode an image file to upright sRGB pixels at its full size.

    Raises:
        ImageError: The file cannot be decoded, or has too many pixels.
    """
    with open_photo(content, max_pixels) as photo:
        transform, _ = pad_transform(photo.size, photo.size)
        return photo.to_srgb(replace(transform, orientation=photo.orientation), background)[0]


def read_header(image: Image.Image) -> Photo:
    """Read the size and the orientation of an opened image. Orientations that EXIF does not define count as upright.

    TIFF counts as upright as well, because Pillow applies its orientation when it loads the pixels, and reports the
    upright size when it opens the file.
    """
    tag = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION_TAG, 1)
    orientation = tag if tag in UPRIGHT_OPERATIONS else 1
    return Photo(image, image.size[::-1] if orientation in TRANSPOSED_ORIENTATIONS else image.size, orientation)


@contextmanager
def open_photo(content: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[Photo]:
    """Open an image file and read its header.

    The caller must decode the pixels inside the `with` block, because the exceptions of decoders are converted there.

    Args:
        content: The content of the file.
        max_pixels: The largest number of pixels to decode.

    Raises:
        ImageError: The file cannot be decoded, or has too many pixels.
    """
    try:
        with open_image(LimitedReads(content)) as image:
            yield replace(read_header(image), max_pixels=max_pixels, buffered=buffered_pixels(image, content))
            image.close()  # frees the pixels, which `Photo` would keep
    except DECODER_ERRORS as error:
        raise image_error(error) from error
