"""Around the second pass: a picture enlarged and cut into requests for tiles, and what was drawn put together again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.diffusion import tiles
from pipeline.diffusion.request import Drawing, Pixels, Request
from schemas.recipe import Upscale

SEED_BITS = 63
NEARLY_FLAT = 8.0  # of 255: the deviation of a tile that may be drawn in one colour, a wall's or a night sky's


@dataclass(frozen=True)
class Tiled:
    """A picture's tiles: where they lie in [height, width], and what is asked for each."""

    height: int
    width: int
    places: list[tiles.Corner]
    requests: list[Request]


def cut(request: Request, pixels: Pixels, upscale: Upscale) -> Tiled:
    """Return the tiles of a picture that was drawn for a request: each under its own pixels, with a seed of its own."""
    large = tiles.enlarge(pixels, upscale.factor)
    height, width = large.shape[:2]
    places = tiles.corners(height, width, upscale.tile, upscale.overlap)
    cuts = [tiles.cut(large, corner, upscale.tile) for corner in places]
    return Tiled(height, width, places, [_tile(request, tile, number) for number, tile in enumerate(cuts)])


def put_together(drawing: Drawing, tiled: Tiled, drawn: Sequence[Drawing], overlap: int) -> Drawing:
    """Return a drawing with its tiles in place of its pixels; without any where one failed, or all have one colour."""
    retried = tuple(dict.fromkeys([*drawing.retried, *(step for each in drawn for step in each.retried)]))
    pixels = [each.pixels for each in drawn if each.pixels is not None]
    if len(pixels) < len(tiled.places):
        return replace(drawing, pixels=None, retried=retried)
    whole = tiles.put_together(pixels, tiled.places, tiled.height, tiled.width, overlap)
    flat = (whole == whole[:1, :1]).all()
    return replace(drawing, pixels=None if flat else whole, retried=retried)


def _tile(request: Request, tile: Pixels, number: int) -> Request:
    seed = (request.seed + 1 + number) % 2**SEED_BITS
    flat = bool(tile.std(axis=(0, 1)).max() < NEARLY_FLAT)
    return replace(request, photo=tile, maps=(tile,), seed=seed, covered=None, region=None, may_be_flat=flat)
