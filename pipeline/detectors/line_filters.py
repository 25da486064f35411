"""How much darker a pixel is than what surrounds it: what a pen would draw, without a network."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels


def local_darkness(photo: Pixels, around: float, own: float = 0.0) -> NDArray[np.float32]:
    """Return [H, W], float32, in steps of 255: the mean around a pixel less its own value, in its least channel.

    `around` and `own` are the standard deviations in pixels of the Gaussians that both are taken with; 0: the pixel.
    """
    exact = photo.astype(np.float32)
    fine = cv2.GaussianBlur(exact, (0, 0), own) if own else exact
    first, second, third = cv2.split(cv2.subtract(cv2.GaussianBlur(exact, (0, 0), around), fine))
    return np.asarray(cv2.min(cv2.min(first, second), third), np.float32)
