"""Read the size of the tiles of a TIFF file, which libtiff decodes whole, however small the image is.

Strips are never larger than the image.
"""

from typing import Literal

from PIL.TiffImagePlugin import TiffImageFile

_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 258, 277, 278, 322, 323  # TIFF 6.0
_LAYOUT = {_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH}
_BIG_TIFF = 43  # the version in the header of a file with 64-bit offsets


def tile_pixels(image: TiffImageFile, content: bytes) -> int:
    """Return the number of pixels of a tile, or 0 if the image has strips.

    Args:
        image: The opened image.
        content: The content of its file.

    Raises:
        OSError: The image has two sizes. Pillow would read the last one, and libtiff the first one.
    """
    tags = [tag for tag in _tags(image, content) if tag in _LAYOUT]
    if len(tags) > len(set(tags)):
        raise OSError("repeated tags of the size")
    width, length = (image.tag_v2.get(tag) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width * length if isinstance(width, int) and isinstance(length, int) else 0


def _tags(image: TiffImageFile, content: bytes) -> list[int]:
    """Return the tags of the directory of an image, in the order of the file."""
    order: Literal["little", "big"] = "little" if image.tag_v2.prefix == b"II" else "big"
    count_bytes, entry_bytes = (8, 20) if content[2] == _BIG_TIFF else (2, 12)
    begin = image.tag_v2.offset + count_bytes
    count = int.from_bytes(content[image.tag_v2.offset : begin], order)
    end = min(begin + count * entry_bytes, len(content))
    return [int.from_bytes(content[start : start + 2], order) for start in range(begin, end, entry_bytes)]
