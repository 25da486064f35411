"""Detect dark lines with a filter, without a network."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels


def local_darkness(photo: Pixels, surround_sigma: float, center_sigma: float = 0.0) -> NDArray[np.float32]:
    """Compute how much darker each pixel is than its surroundings: a difference of Gaussians.

    Args:
        photo: [H, W, 3], uint8, RGB.
        surround_sigma: Standard deviation in pixels of the Gaussian blur that computes the surroundings.
        center_sigma: Standard deviation in pixels of the Gaussian blur of the pixels themselves; 0 for no blur.

    Returns:
        [H, W], float32, -255..255: the difference in the channel where it is smallest.
    """
    values = photo.astype(np.float32)  # [H, W, 3]
    center = cv2.GaussianBlur(values, (0, 0), center_sigma) if center_sigma else values
    surround = cv2.GaussianBlur(values, (0, 0), surround_sigma)
    red, green, blue = cv2.split(cv2.subtract(surround, center))
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.float32)
