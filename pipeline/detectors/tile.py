"""The control map of the tile ControlNet: the image itself, optionally blurred."""

import cv2
import numpy as np

from pipeline.images.arrays import Pixels
from schemas.detectors import TileSettings


class Tile:
    """Returns the image after a box blur of `blur` pixels. With more blur, the ControlNet may change more details."""

    def __init__(self, settings: TileSettings) -> None:
        self._blur = settings.blur

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the blurred image. If `blur` is 1, this is the same array."""
        if self._blur == 1:
            return pixels
        return cv2.blur(pixels, (self._blur, self._blur)).astype(np.uint8, copy=False)
