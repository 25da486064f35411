"""Find the people in a photo with the pose detector of the recipe, to crop the photo around them."""

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.base import PoseDetector, load_detector
from pipeline.errors import DetectorFailedError, describe_exception
from pipeline.images.arrays import Pixels
from schemas.detectors import DetectorSettings


class PeopleFinder:
    """Finds people with a pose detector, which is loaded once per process.

    The result of the last image is cached, because the variants of a photo are consecutive rows.

    Args:
        settings: The settings of a `PoseDetector`.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._cached: tuple[bytes, NDArray[np.float64]] | None = None

    def __call__(self, pixels: Pixels) -> NDArray[np.float64]:
        """Return the detected keypoints [N, 2] (x, y) of the bodies of all people in an image.

        Raises:
            DetectorFailedError: The detector raised an error for this image.
        """
        key = hashlib.sha256(pixels.tobytes()).digest() + repr(pixels.shape).encode()
        if self._cached is None or self._cached[0] != key:
            self._cached = key, self._find(pixels)
        return self._cached[1]

    def _find(self, pixels: Pixels) -> NDArray[np.float64]:
        detector = _load(self._settings)
        try:
            people = detector.people(pixels)
        except (RuntimeError, ValueError) as error:
            raise DetectorFailedError(f"{self._settings.name}: {describe_exception(error)}") from error
        bodies = [np.empty((0, 2)), *(person.body for person in people)]
        points: NDArray[np.float64] = np.concatenate(bodies)  # [18 * people, 2]
        return np.asarray(points[~np.isnan(points).any(axis=1)])


@functools.cache
def _load(settings: DetectorSettings) -> PoseDetector:
    detector = load_detector(settings)
    if not isinstance(detector, PoseDetector):
        raise TypeError(f"{settings.name}: not a pose detector")
    return detector
