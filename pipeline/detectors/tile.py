"""The picture itself, for the net that paints details anew into what it is shown."""

import cv2
import numpy as np

from pipeline.images.arrays import Pixels
from schemas.detectors import TileSettings


class Tile:
    """The picture, averaged over squares of `blur` pixels first, so that its own details do not hold the net."""

    def __init__(self, settings: TileSettings) -> None:
        self._blur = settings.blur

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the picture; without blur the very same array."""
        if self._blur == 1:
            return pixels
        return cv2.blur(pixels, (self._blur, self._blur)).astype(np.uint8, copy=False)
