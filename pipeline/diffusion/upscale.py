"""The second pass of a recipe with `upscale`: enlarge an image, cut it into tiles, and blend the generated tiles.

The functions of this module cut and blend. `ImageGenerator` generates a new image from each tile.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.diffusion.request import GeneratedImage, GenerationRequest, Pixels
from schemas.recipe import Upscale

SEED_BITS = 63  # a seed has at most 63 bits, as in `pipeline.plan.plan`
# If the standard deviation of every channel of a tile is below this value (for pixels of 0..255), as in a night sky, a
# generated tile of a single colour is accepted.
FLAT_TILE_DEVIATION = 8.0

Corner = tuple[int, int]
"""The y of the upper edge and the x of the left edge of a tile in the enlarged image, in pixels."""


@dataclass(frozen=True)
class TiledImage:
    """The tiles of an enlarged image.

    Attributes:
        height: The height of the enlarged image, in pixels.
        width: The width of the enlarged image, in pixels.
        corners: The position of each tile.
        requests: The request of each tile, in the order of `corners`.
    """

    height: int
    width: int
    corners: list[Corner]
    requests: list[GenerationRequest]


def cut_into_tiles(request: GenerationRequest, pixels: Pixels, upscale: Upscale) -> TiledImage:
    """Enlarge an image, cut it into tiles, and build a request for each tile, each with a different seed.

    Args:
        request: The request of the first pass.
        pixels: The image of the first pass, [H, W, 3].
        upscale: The settings of the second pass.
    """
    enlarged = enlarge_image(pixels, upscale.factor)  # [H * factor, W * factor, 3], uint8
    height, width = enlarged.shape[:2]
    corners = tile_corners(height, width, upscale.tile, upscale.overlap)
    tiles = [crop_tile(enlarged, corner, upscale.tile) for corner in corners]
    requests = [_tile_request(request, tile, index) for index, tile in enumerate(tiles)]
    return TiledImage(height, width, corners, requests)


def merge_tiles(
    image: GeneratedImage, tiled: TiledImage, tiles: Sequence[GeneratedImage], overlap: int
) -> GeneratedImage:
    """Join the generated tiles of an image, blended where they overlap.

    Args:
        image: The image of the first pass.
        tiled: The result of `cut_into_tiles` for this image.
        tiles: The generated tiles, in the order of `tiled.corners`.
        overlap: The minimum overlap of adjacent tiles, in pixels.

    Returns:
        `image` with the enlarged pixels. The attempts in `retried` include those of its tiles. The pixels are None if a
        tile failed, or if the whole image has a single colour.
    """
    retried = tuple(dict.fromkeys([*image.retried, *(step for tile in tiles for step in tile.retried)]))
    pixels = [tile.pixels for tile in tiles if tile.pixels is not None]
    if len(pixels) < len(tiled.corners):
        return replace(image, pixels=None, retried=retried)
    blended = blend_tiles(pixels, tiled.corners, tiled.height, tiled.width, overlap)
    is_flat = (blended == blended[:1, :1]).all()
    return replace(image, pixels=None if is_flat else blended, retried=retried)


def _tile_request(request: GenerationRequest, tile: Pixels, index: int) -> GenerationRequest:
    seed = (request.seed + 1 + index) % 2**SEED_BITS
    may_be_flat = bool(tile.std(axis=(0, 1)).max() < FLAT_TILE_DEVIATION)
    return replace(
        request, photo=tile, maps=(tile,), seed=seed, mask=None, inpaint_region=None, may_be_flat=may_be_flat
    )


def enlarge_image(image: Pixels, factor: int) -> Pixels:
    """Enlarge an image by an integer factor, with Lanczos interpolation."""
    height, width = image.shape[:2]
    return cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_LANCZOS4).astype(np.uint8)


def tile_corners(height: int, width: int, side: int, overlap: int) -> list[Corner]:
    """Return the positions of tiles that cover an image, row by row.

    Args:
        height: The height of the image, in pixels.
        width: The width of the image, in pixels.
        side: The width and height of a tile, in pixels.
        overlap: The minimum overlap of adjacent tiles, in pixels.
    """
    return list(itertools.product(_tile_starts(height, side, overlap), _tile_starts(width, side, overlap)))


def crop_tile(image: Pixels, corner: Corner, side: int) -> Pixels:
    """Crop one tile, [side, side, 3], or smaller if the image is smaller than a tile."""
    top, left = corner
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def blend_tiles(tiles: list[Pixels], corners: list[Corner], height: int, width: int, overlap: int) -> Pixels:
    """Blend tiles to one image, [height, width, 3], as their weighted mean where they overlap.

    Args:
        tiles: The tiles, [h, w, 3] each.
        corners: The position of each tile.
        height: The height of the image, in pixels.
        width: The width of the image, in pixels.
        overlap: The distance from the edge of a tile over which its weight rises to 1, in pixels.
    """
    weighted_sum = np.zeros((height, width, 3), np.float32)  # [H, W, 3], 0..255 times the sum of weights
    weight_sum = np.zeros((height, width, 1), np.float32)  # [H, W, 1]
    for tile, (top, left) in zip(tiles, corners, strict=True):
        tile_height, tile_width = tile.shape[:2]
        weight = np.outer(_edge_ramp(tile_height, overlap), _edge_ramp(tile_width, overlap))[..., None]  # [h, w, 1]
        weighted_sum[top : top + tile_height, left : left + tile_width] += tile * weight
        weight_sum[top : top + tile_height, left : left + tile_width] += weight
    return (weighted_sum / weight_sum).round().clip(0, 255).astype(np.uint8)


def _tile_starts(length: int, side: int, overlap: int) -> list[int]:
    """Return the first pixel of each tile along one axis. Starts are evenly spaced, then rounded to multiples of 8.

    Args:
        length: The length of the axis, in pixels.
        side: The length of a tile, in pixels.
        overlap: The minimum overlap of adjacent tiles, in pixels.
    """
    if length <= side:
        return [0]
    count = math.ceil((length - overlap) / (side - overlap))
    return [round(index * (length - side) / (count - 1) / 8) * 8 for index in range(count)]


def _edge_ramp(length: int, overlap: int) -> NDArray[np.float32]:
    """Return positive weights [length] that rise linearly from each edge to 1, over `overlap` pixels."""
    edge_distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(edge_distance / (overlap + 1), 1).astype(np.float32)
