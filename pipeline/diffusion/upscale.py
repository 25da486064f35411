"""Around the second pass: a picture enlarged and cut into requests for tiles, and what was drawn put together again."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.diffusion.request import GeneratedImage, GenerationRequest, Pixels
from schemas.recipe import Upscale

SEED_BITS = 63
FLAT_TILE_DEVIATION = 8.0  # of 255: the deviation of a tile that may be drawn in one colour, a wall's or a night sky's


Corner = tuple[int, int]
"""Top and left of a tile in the picture, in pixels."""


@dataclass(frozen=True)
class TiledImage:
    """A picture's tiles: where they lie in [height, width], and what is asked for each."""

    height: int
    width: int
    places: list[Corner]
    requests: list[GenerationRequest]


def cut_into_tiles(request: GenerationRequest, pixels: Pixels, upscale: Upscale) -> TiledImage:
    """Return the tiles of a picture that was drawn for a request: each under its own pixels, with a seed of its own."""
    large = enlarge_image(pixels, upscale.factor)
    height, width = large.shape[:2]
    places = tile_corners(height, width, upscale.tile, upscale.overlap)
    cuts = [crop_tile(large, corner, upscale.tile) for corner in places]
    return TiledImage(height, width, places, [_tile(request, tile, number) for number, tile in enumerate(cuts)])


def merge_tiles(
    drawing: GeneratedImage, tiled: TiledImage, drawn: Sequence[GeneratedImage], overlap: int
) -> GeneratedImage:
    """Return a drawing with its tiles in place of its pixels; without any where one failed, or all have one colour."""
    retried = tuple(dict.fromkeys([*drawing.retried, *(step for each in drawn for step in each.retried)]))
    pixels = [each.pixels for each in drawn if each.pixels is not None]
    if len(pixels) < len(tiled.places):
        return replace(drawing, pixels=None, retried=retried)
    whole = blend_tiles(pixels, tiled.places, tiled.height, tiled.width, overlap)
    flat = (whole == whole[:1, :1]).all()
    return replace(drawing, pixels=None if flat else whole, retried=retried)


def _tile(request: GenerationRequest, tile: Pixels, number: int) -> GenerationRequest:
    seed = (request.seed + 1 + number) % 2**SEED_BITS
    flat = bool(tile.std(axis=(0, 1)).max() < FLAT_TILE_DEVIATION)
    return replace(request, photo=tile, maps=(tile,), seed=seed, mask=None, inpaint_region=None, may_be_flat=flat)


def enlarge_image(picture: Pixels, times: int) -> Pixels:
    """Return a picture [H, W, 3] so many times as high and wide, by Lanczos."""
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width * times, height * times), interpolation=cv2.INTER_LANCZOS4).astype(np.uint8)


def tile_corners(height: int, width: int, side: int, overlap: int) -> list[Corner]:
    """Return where tiles of `side` begin that cover a picture, neighbours sharing at least `overlap`, row by row."""
    return list(itertools.product(_starts(height, side, overlap), _starts(width, side, overlap)))


def crop_tile(picture: Pixels, corner: Corner, side: int) -> Pixels:
    """Return the tile at a corner; smaller than `side` where the picture is."""
    top, left = corner
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def blend_tiles(tiles: list[Pixels], places: list[Corner], height: int, width: int, overlap: int) -> Pixels:
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
