"""The control map of the inpaint ControlNet: the image itself, with the pixels under the mask set to black."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels
from schemas.detectors import InpaintSettings


class Inpaint:
    """Returns the image. The mask comes from the manifest, and `mask_out` applies it later."""

    def __init__(self, settings: InpaintSettings) -> None:
        del settings  # there are none

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the same array."""
        return pixels


def mask_out(pixels: Pixels, covered: NDArray[np.bool_]) -> Pixels:
    """Return an image that is black where the mask `covered` [H, W] is true."""
    return cv2.bitwise_and(pixels, pixels, mask=(~covered).view(np.uint8)).astype(np.uint8, copy=False)
