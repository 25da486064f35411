"""Where people are in a photo, for a crop around them: asked of the recipe's own pose detector."""

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.base import PoseDetector, load_detector
from pipeline.errors import ControlMapError
from pipeline.images.arrays import Pixels
from schemas.detectors import DetectorSettings


class PeopleFinder:
    """Finds people by the detector that `settings` name, which is loaded once in each process that needs it.

    What was found in the last picture is remembered: the variants of a photo come one after the other.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._last: tuple[bytes, NDArray[np.float64]] | None = None

    def __call__(self, pixels: Pixels) -> NDArray[np.float64]:
        """Return the keypoints [N, 2] (x, y) of everyone found. Raises `ControlMapError` where the detector fails."""
        picture = hashlib.sha256(pixels.tobytes()).digest() + repr(pixels.shape).encode()
        if self._last is None or self._last[0] != picture:
            self._last = picture, self._found(pixels)
        return self._last[1]

    def _found(self, pixels: Pixels) -> NDArray[np.float64]:
        detector = _loaded(self._settings)
        try:
            people = detector.people(pixels)
        except (RuntimeError, ValueError) as error:
            message = f"{self._settings.name}: {type(error).__name__}: {error}"
            raise ControlMapError(message) from error
        bodies = [np.empty((0, 2)), *(person.body for person in people)]
        found: NDArray[np.float64] = np.concatenate(bodies)  # 18 rows for each person
        return np.asarray(found[~np.isnan(found).any(axis=1)])


@functools.cache
def _loaded(settings: DetectorSettings) -> PoseDetector:
    detector = load_detector(settings)
    if not isinstance(detector, PoseDetector):
        message = f"{settings.name} finds no people"
        raise TypeError(message)
    return detector
