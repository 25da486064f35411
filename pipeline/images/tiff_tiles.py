"""Check the tags of a TIFF file, and read the size of its tiles.

libtiff decodes tiles whole, however small the image is. Strips are never larger than the image.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from PIL.TiffImagePlugin import PREFIXES, TiffImageFile

_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 258, 277, 278, 322, 323  # TIFF 6.0
_LAYOUT = {_WIDTH, _LENGTH, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_LENGTH}
_HEADER_BYTES = 16
_BYTES = (1, 2, 7)  # the types of values that Pillow reads as bytes: BYTE, ASCII and UNDEFINED
_MOST_VALUES = 2**18  # 100 million pixels in strips of a row of 400 pixels have 250,000 offsets
_MOST_TAGS = 2**16  # there are no more numbers of tags
_BIG_TIFF = 43  # the version in the header of a file with 64-bit offsets


class _Entry(NamedTuple):
    """An entry of a directory: the number of the tag, the type of its values, and how many there are."""

    tag: int
    kind: int
    values: int


def check_tags(file: BinaryIO) -> None:
    """Check the first directory of a TIFF file, whose values Pillow reads into Python objects. Ignores other files.

    Raises:
        OSError: There are too many tags, or a tag has too many values. Each value takes about 70 bytes of memory.
    """
    header = file.read(_HEADER_BYTES)
    if header[:4] in PREFIXES:
        # Pillow reads a big-endian file with 64-bit offsets as if it had 32-bit offsets, so that both are checked.
        for is_big in {header[2] == _BIG_TIFF, _BIG_TIFF in header[2:4]}:
            for entry in _directory(file, is_big=is_big):
                if entry.kind not in _BYTES and entry.values > _MOST_VALUES:
                    raise OSError(f"a tag has {entry.values} values")
    file.seek(0)


def tile_pixels(image: TiffImageFile, content: bytes) -> int:
    """Return the number of pixels of a tile, or 0 if the image has strips.

    Args:
        image: The opened image.
        content: The content of its file.

    Raises:
        OSError: The image has two sizes. Pillow would read the last one, and libtiff the first one.
    """
    entries = _directory(io.BytesIO(content), is_big=content[2] == _BIG_TIFF)
    tags = [entry.tag for entry in entries if entry.tag in _LAYOUT]
    if len(tags) > len(set(tags)):
        raise OSError("repeated tags of the size")
    width, length = (image.tag_v2.get(tag) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width * length if isinstance(width, int) and isinstance(length, int) else 0


def _directory(file: BinaryIO, *, is_big: bool) -> Iterator[_Entry]:
    """Yield the entries of the first directory of a file, with offsets of 64 bits if it is big, else of 32 bits."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    order: Literal["little", "big"] = "little" if header[:2] == b"II" else "big"
    count_bytes, entry_bytes = (8, 20) if is_big else (2, 12)
    file.seek(int.from_bytes(header[8:16] if is_big else header[4:8], order))
    count = int.from_bytes(file.read(count_bytes), order)
    if count > _MOST_TAGS:
        raise OSError(f"a directory has {count} tags")
    entries = file.read(count * entry_bytes)
    for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
        tag, kind, values = (entries[start + a : start + b] for a, b in ((0, 2), (2, 4), (4, 12 if is_big else 8)))
        yield _Entry(*(int.from_bytes(each, order) for each in (tag, kind, values)))
