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
from pipeline.errors import ModelError
from pipeline.images.arrays import Pixels
from pipeline.quiet import silence_stderr
from schemas.detectors import MediapipeSettings


class Mediapipe:
    """Find people by 33 landmarks each; nobody in the picture gives a black map, which is a result."""

    def __init__(self, settings: MediapipeSettings, folder: Path, device: str) -> None:
        del device  # its networks run on the CPU
        bundle = BaseOptions(model_asset_path=str(folder / settings.files[0]))
        options = PoseLandmarkerOptions(base_options=bundle, num_poses=settings.people)
        try:
            with silence_stderr():  # it tells of each start and of its networks' looks
                self._landmarker = PoseLandmarker.create_from_options(options)
        except OSError as error:  # a system library that is not there
            message = f"mediapipe cannot start: {error}"
            raise ModelError(message, "Install what it names; on Debian the packages libegl1 and libgles2.") from error
        except (RuntimeError, ValueError) as error:
            message = f"{folder / settings.file}: no bundle of mediapipe's ({str(error).splitlines()[0]})"
            raise ModelError(message, "Fetch pose_landmarker_full.task anew.") from error
        atexit.register(_leave_to_the_system, weakref.ref(self._landmarker))
        self._threshold = settings.threshold

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the drawn people."""
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return everyone in a picture."""
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        height, width, _ = pixels.shape
        with silence_stderr():
            found = self._landmarker.detect(image).pose_landmarks
        return [person_from_keypoints(self._keypoints(landmarks, width, height)) for landmarks in found]

    def _keypoints(self, landmarks: list[Any], width: int, height: int) -> NDArray[np.float64]:
        """Return landmarks as [33, 3]: what is hidden, or guessed to lie outside the picture, is not found."""
        points = np.array([(mark.x * width, mark.y * height, mark.visibility or 0.0) for mark in landmarks])
        inside = ((points[:, :2] >= 0) & (points[:, :2] < (width, height))).all(axis=1)
        points[:, 2] *= inside & (points[:, 2] >= self._threshold)
        return points


def _leave_to_the_system(landmarker: "weakref.ref[Any]") -> None:
    """Close nothing at the process's end: mediapipe's threads are gone by then, and it would complain."""
    living = landmarker()
    if living is not None:
        living.close = lambda: None
