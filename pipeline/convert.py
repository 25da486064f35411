"""Photos and their control maps in, pictures out, in batches of one shape filled up to one size.

The same picture comes out of any batch: each has its own seed, and every batch has the same size, so that the same
kernels run. Tensors are `pipeline.diffusion`'s business.
"""

import itertools
import time

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.canvas import covered, pixels_of
from pipeline.each import add_seconds
from schemas.detectors import InpaintSettings
from schemas.recipe import Recipe
from schemas.work import CONVERTED, Row


class Converter:
    """Holds the diffusion pipeline of a recipe and maps batches. Raises `ModelFault` for weights that do not fit."""

    def __init__(self, recipe: Recipe) -> None:
        # Here, not above: torch and diffusers take seconds, and this actor alone has them.
        from pipeline.diffusion import Diffusion

        self._diffusion = Diffusion(recipe)
        self._inpaints = any(isinstance(settings, InpaintSettings) for settings in recipe.detectors)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch of `schemas.work.MAPPED` as one of `CONVERTED`; `picture` is null where it was not finite."""
        rows = batch.to_pylist()
        for group in batches([row for row in rows if not row["failure"]], self._diffusion.batch_size):
            self._convert(group)
        return pa.Table.from_pylist(rows, CONVERTED)

    def _convert(self, rows: list[Row]) -> None:
        """Add `picture` and `made_by` to rows of one shape."""
        began = time.perf_counter()
        filled = [*rows, *itertools.repeat(rows[-1], self._diffusion.batch_size - len(rows))]
        pictures, finite = self._diffusion.draw(
            photos=_stacked(filled, [row["pixels"] for row in filled]),
            maps=[_stacked(filled, list(raw)) for raw in zip(*(_map_pixels(row) for row in filled), strict=True)],
            masks=_masks(filled) if self._inpaints else None,
            prompts=[(row["prompt"], row["negative_prompt"]) for row in filled],
            seeds=[row["seed"] for row in filled],
        )
        seconds = (time.perf_counter() - began) / len(rows)
        for row, picture, whole in zip(rows, pictures, finite, strict=False):  # the filling has no row
            row["picture"] = picture.tobytes() if whole else None
            row["made_by"] = self._diffusion.made_by(row["prompt"], row["negative_prompt"])
            add_seconds(row, "convert", seconds)


def batches(rows: list[Row], size: int) -> list[list[Row]]:
    """Cut rows into batches of at most `size` rows of one width and height, in the plan's order within a shape."""
    shapes: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        shapes.setdefault((row["width"], row["height"]), []).append(row)
    return [same[start : start + size] for same in shapes.values() for start in range(0, len(same), size)]


def _map_pixels(row: Row) -> list[bytes]:
    return [drawn["pixels"] for drawn in row["maps"]]


def _stacked(rows: list[Row], raw: list[bytes]) -> NDArray[np.uint8]:
    return np.stack([pixels_of(row, pixels) for row, pixels in zip(rows, raw, strict=True)])  # [N, H, W, 3], 0..255


def _masks(rows: list[Row]) -> NDArray[np.bool_]:
    """Return what is to be painted anew, [N, H, W]; nothing where the manifest brought the map, not a mask."""
    none = np.zeros((rows[0]["height"], rows[0]["width"]), np.bool_)
    return np.stack([none if row["mask"] is None else covered(row) for row in rows])
