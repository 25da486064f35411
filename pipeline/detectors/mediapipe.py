"""People by mediapipe's PoseLandmarker, drawn as OpenPose."""

import atexit
import weakref
from pathlib import Path
from typing import Any

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerOptions
from numpy.typing import NDArray

from pipeline.detectors.keypoints import Person, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from pipeline.errors import MissingPackageError, ModelError
from pipeline.images.arrays import Pixels
from pipeline.quiet import silence_stderr
from schemas.detectors import MediapipeSettings


class Mediapipe:
    """Detects people by 33 landmarks each. The map of an image without people is black."""

    def __init__(self, settings: MediapipeSettings, folder: Path, device: str) -> None:
        del device  # its networks run on the CPU
        path = folder / settings.file
        bundle = BaseOptions(model_asset_path=str(path))
        options = PoseLandmarkerOptions(base_options=bundle, num_poses=settings.people)
        try:
            with silence_stderr():  # mediapipe logs its start and the tensors of its networks
                self._landmarker = PoseLandmarker.create_from_options(options)
        except OSError as error:
            hint = "Install the missing library; on Debian, libegl1 and libgles2."
            raise MissingPackageError(f"mediapipe: a system library is missing: {error}", hint) from error
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: invalid mediapipe model: {str(error).splitlines()[0]}") from error
        atexit.register(_disable_close, weakref.ref(self._landmarker))
        self._threshold = settings.threshold

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the people in an image, drawn as OpenPose."""
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return the people in an image."""
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        height, width, _ = pixels.shape
        with silence_stderr():
            people = self._landmarker.detect(image).pose_landmarks
        return [person_from_keypoints(self._keypoints(landmarks, width, height)) for landmarks in people]

    def _keypoints(self, landmarks: list[Any], width: int, height: int) -> NDArray[np.float64]:
        """Return landmarks as keypoints [33, 3]: x and y in pixels, visibility 0..1.

        The visibility becomes 0 below the threshold, and outside the image, where mediapipe extrapolates.
        """
        points = np.array([(mark.x * width, mark.y * height, mark.visibility or 0.0) for mark in landmarks])
        inside = ((points[:, :2] >= 0) & (points[:, :2] < (width, height))).all(axis=1)
        points[:, 2] *= inside & (points[:, 2] >= self._threshold)
        return points


def _disable_close(reference: "weakref.ref[Any]") -> None:
    """Replace `close` when the process exits: mediapipe's threads have ended by then, and `close` would log errors."""
    landmarker = reference()
    if landmarker is not None:
        landmarker.close = lambda: None
