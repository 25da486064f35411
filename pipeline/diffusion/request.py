"""Generation requests and generated images, as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB pixels: [H, W, 3], 0..255."""
Mask = NDArray[np.bool_]
"""Whether each pixel is selected: [H, W]."""


@dataclass(frozen=True)
class GenerationRequest:
    """The inputs of one image. Together with the recipe they decide all of its pixels.

    Attributes:
        photo: The source, [H, W, 3].
        maps: One control map for each ControlNet, in the order of the recipe, each of the shape of the photo.
        prompt: The prompt, with weights in the syntax of Compel.
        negative_prompt: The negative prompt, in the same syntax.
        seed: The seed of the only random generator of the image.
        mask: The pixels that the inpaint ControlNet receives as masked. If it is None, no pixel is masked.
        inpaint_region: The pixels that mode inpaint replaces. Required in mode inpaint, and invalid in other modes.
        reference: The reference image of an IP-Adapter, of any shape. Required if the recipe has an IP-Adapter.
        may_be_flat: Whether an image of a single colour is valid, as for a tile that shows a wall.
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
    """One image and facts about its generation.

    Attributes:
        pixels: The image, [H * factor, W * factor, 3] with the factor of the second pass. None if generation failed.
        batch_size: The number of images that were generated together with this one, itself included.
        retried: Descriptions of the retries in float32, in order. An image is retried if it is not finite or has a
            single colour. If memory ran out during a retry, the last description says that.
        nsfw: The result of the safety checker. None without a safety checker.
    """

    pixels: Pixels | None
    batch_size: int
    retried: tuple[str, ...] = ()
    nsfw: bool | None = None
