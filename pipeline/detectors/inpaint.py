"""The picture itself, for the net that paints a masked part anew, and what is masked taken out of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels
from schemas.detectors import InpaintSettings


class Inpaint:
    """The picture: what is masked is known from the manifest, not from pixels."""

    def __init__(self, settings: InpaintSettings) -> None:
        del settings  # it has none

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the picture, the very same array."""
        return pixels


def mask_out(pixels: Pixels, covered: NDArray[np.bool_]) -> Pixels:
    """Return a picture that is black where a mask [H, W] covers it; the net is told the mask beside it."""
    return cv2.bitwise_and(pixels, pixels, mask=(~covered).view(np.uint8)).astype(np.uint8, copy=False)
