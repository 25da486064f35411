"""The tiles of a TIFF count as pixels, and its directory has one size."""

import io
import struct
from contextlib import nullcontext

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.images.opening import load_image
from pipeline.images.tiff_tiles import check_tags

ORDERS = [("<", False), (">", False), ("<", True)]


def tiled(side: int, tile: int, order: str = "<", *, big: bool = False) -> bytes:
    buffer = io.BytesIO()
    pixels = np.zeros((side, side, 3), np.uint8)
    tifffile.imwrite(buffer, pixels, byteorder=order, bigtiff=big, tile=(tile, tile), compression="zlib")
    return buffer.getvalue()


@pytest.mark.parametrize(("order", "big"), ORDERS)
def test_a_tile_counts_as_pixels(order: str, *, big: bool) -> None:
    content = tiled(64, 512, order, big=big)
    assert load_image(content, 512 * 512).size == (64, 64)
    with pytest.raises(Image.DecompressionBombError):
        load_image(content, 512 * 512 - 1)


def test_the_last_strip_may_be_longer_than_the_image() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "tiff", compression="tiff_lzw", tiffinfo={278: 2**31 - 1})
    assert load_image(buffer.getvalue(), 64 * 64).size == (64, 64)


@pytest.mark.parametrize("tag", [256, 257, 322, 323])
@pytest.mark.parametrize(("order", "big"), ORDERS)
def test_a_second_size_is_an_error(order: str, tag: int, *, big: bool) -> None:
    content = tiled(64, 64, order, big=big)
    entry = order + ("HHQ" if big else "HHI")
    begin = content.index(struct.pack(entry, 305, 2, 12))  # the name of the software
    size = struct.pack(entry, tag, 3, 1) + struct.pack(order + "H", 64).ljust(8 if big else 4, b"\0")
    assert load_image(content).size == (64, 64)
    with pytest.raises(OSError, match="repeated"):
        load_image(content[:begin] + size + content[begin + len(size) :])


@pytest.mark.parametrize(("order", "is_big"), [("<", False), (">", False), ("<", True), (">", True)])
@pytest.mark.parametrize(
    ("kind", "values", "accepted"), [(4, 10_000_000, False), (4, 1000, True), (7, 10_000_000, True)]
)
def test_a_tag_with_too_many_values_is_refused_before_it_is_read(
    order: str, kind: int, values: int, *, is_big: bool, accepted: bool
) -> None:
    magic = {"<": b"II", ">": b"MM"}[order]
    if is_big:
        header = struct.pack(f"{order}2sHHHQQ", magic, 43, 8, 0, 16, 1) + struct.pack(
            f"{order}HHQQ", 273, kind, values, 0
        )
    else:
        header = struct.pack(f"{order}2sHIH", magic, 42, 8, 1) + struct.pack(f"{order}HHII", 273, kind, values, 0)
    file = io.BytesIO(header)
    with nullcontext() if accepted else pytest.raises(OSError, match="10000000 values"):
        check_tags(file)
    assert not accepted or file.tell() == 0


@pytest.mark.parametrize("header", [b"MM*\0", b"II\0*", b"MM\0+"])
def test_the_tags_are_read_as_pillow_reads_them(header: bytes) -> None:
    order = "<" if header[:2] == b"II" else ">"
    entry = struct.pack(f"{order}IHHHII", 8, 1, 273, 4, 10_000_000, 0)
    with pytest.raises(OSError, match="10000000 values"):
        check_tags(io.BytesIO(header + entry))


def test_a_directory_with_more_tags_than_there_are_numbers_is_refused() -> None:
    with pytest.raises(OSError, match="tags"):
        check_tags(io.BytesIO(struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**40)))
