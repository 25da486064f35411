"""What the converter asks for, and what it gets: one picture each, as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""[H, W, 3], RGB, 0..255."""
Mask = NDArray[np.bool_]
"""[H, W]."""


@dataclass(frozen=True)
class GenerationRequest:
    """All that decides one picture beside the recipe.

    `maps` holds one control map per net, in the recipe's order, all of the photo's shape. `mask` is what an inpaint
    net is told to paint, `inpaint_region` what mode inpaint paints; `reference` is an IP-Adapter's image, of any shape.
    `may_be_flat`: a picture of one colour is one, as of a tile that shows a wall.
    """

    photo: Pixels
    maps: tuple[Pixels, ...]
    prompt: str
    negative_prompt: str
    seed: int
    mask: Mask | None = None
    inpaint_region: Mask | None = None
    reference: Pixels | None = None
    may_be_flat: bool = False


@dataclass(frozen=True)
class GeneratedImage:
    """One picture, [H * times, W * times, 3], or None where none was to be had; and how it came about.

    `retried` says what had to be done again, in order, because a picture was not finite or of one colour.
    """

    pixels: Pixels | None
    batch_size: int
    retried: tuple[str, ...] = ()
    nsfw: bool | None = None
