"""A filter that detects dark lines without a network."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels


def local_darkness(photo: Pixels, around: float, own: float = 0.0) -> NDArray[np.float32]:
    """Compute how much darker each pixel is than its surroundings: a difference of Gaussians.

    Args:
        photo: [H, W, 3], uint8, RGB.
        around: Standard deviation in pixels of the Gaussian blur that gives the surroundings.
        own: Standard deviation in pixels of the Gaussian blur that gives the pixel itself; 0 for no blur.

    Returns:
        [H, W], float32, -255..255: the smallest difference of the three channels.
    """
    values = photo.astype(np.float32)  # [H, W, 3]
    fine = cv2.GaussianBlur(values, (0, 0), own) if own else values
    red, green, blue = cv2.split(cv2.subtract(cv2.GaussianBlur(values, (0, 0), around), fine))
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.float32)
