"""The image itself, for the tile ControlNet, which adds details."""

import cv2
import numpy as np

from pipeline.images.arrays import Pixels
from schemas.detectors import TileSettings


class Tile:
    """Returns the image, after a box blur of `blur` pixels, which leaves the ControlNet more freedom in its details."""

    def __init__(self, settings: TileSettings) -> None:
        self._blur = settings.blur

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the blurred image, or without blur the same array."""
        if self._blur == 1:
            return pixels
        return cv2.blur(pixels, (self._blur, self._blur)).astype(np.uint8, copy=False)
