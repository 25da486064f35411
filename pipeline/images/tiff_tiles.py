"""Check the tags of a TIFF file, and read the size of its tiles.

libtiff decodes tiles whole, however small the image is. Strips are never larger than the image.
"""

from typing import BinaryIO, Literal

from PIL.TiffImagePlugin import TiffImageFile

_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 258, 277, 278, 322, 323  # TIFF 6.0
_LAYOUT = {_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH}
_HEADER_BYTES = 16
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BYTES = (1, 2, 7)  # the types of values that Pillow reads as bytes: BYTE, ASCII and UNDEFINED
_MOST_VALUES, _MOST_TAGS = 2**18, 2**16  # 100 million pixels in strips of a row of 400 pixels have 250,000 offsets
_BIG_TIFF = 43  # the version in the header of a file with 64-bit offsets


def check_tags(file: BinaryIO) -> None:
    """Check the first directory of a TIFF file, whose values Pillow reads into Python objects. Ignores other files.

    Raises:
        OSError: A tag has too many values. Each takes about 70 bytes of memory.
    """
    header = file.read(_HEADER_BYTES)
    if header[:4] in _MAGIC:
        order: Literal["little", "big"] = "little" if header[:2] == b"II" else "big"
        is_big = _BIG_TIFF in header[2:4]
        count_bytes, entry_bytes, number = (8, 20, slice(4, 12)) if is_big else (2, 12, slice(4, 8))
        file.seek(int.from_bytes(header[8:16] if is_big else header[4:8], order))
        count = int.from_bytes(file.read(count_bytes), order)
        entries = file.read(min(count, _MOST_TAGS) * entry_bytes)
        for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
            entry = entries[start : start + entry_bytes]
            kind, values = int.from_bytes(entry[2:4], order), int.from_bytes(entry[number], order)
            if kind not in _BYTES and values > _MOST_VALUES:
                raise OSError(f"a tag has {values} values")
    file.seek(0)


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
