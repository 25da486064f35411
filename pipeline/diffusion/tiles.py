"""A picture cut into tiles that overlap, and put together again so that no seam shows."""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.diffusion.request import Pixels

Corner = tuple[int, int]
"""Top and left of a tile in the picture, in pixels."""


def enlarge(picture: Pixels, times: int) -> Pixels:
    """Return a picture [H, W, 3] so many times as high and wide, by Lanczos."""
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width * times, height * times), interpolation=cv2.INTER_LANCZOS4).astype(np.uint8)


def corners(height: int, width: int, side: int, overlap: int) -> list[Corner]:
    """Return where tiles of `side` begin that cover a picture, neighbours sharing at least `overlap`, row by row."""
    return list(itertools.product(_starts(height, side, overlap), _starts(width, side, overlap)))


def cut(picture: Pixels, corner: Corner, side: int) -> Pixels:
    """Return the tile at a corner; smaller than `side` where the picture is."""
    top, left = corner
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def put_together(tiles: list[Pixels], places: list[Corner], height: int, width: int, overlap: int) -> Pixels:
    """Return the picture [height, width, 3] of its tiles: where some overlap they pass into each other evenly."""
    summed = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    for tile, (top, left) in zip(tiles, places, strict=True):
        high, wide = tile.shape[:2]
        weight = np.outer(_ramp(high, overlap), _ramp(wide, overlap))[..., None]  # [h, w, 1]
        summed[top : top + high, left : left + wide] += tile * weight
        weights[top : top + high, left : left + wide] += weight
    return (summed / weights).round().clip(0, 255).astype(np.uint8)


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Return the beginnings of equal, evenly spread stretches of `side` that cover `length`."""
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(number * (length - side) / (count - 1) / 8) * 8 for number in range(count)]


def _ramp(length: int, overlap: int) -> NDArray[np.float32]:
    """Return weights that rise over `overlap` from near 0, and fall again; all above 0."""
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(from_edge / (overlap + 1), 1).astype(np.float32)
