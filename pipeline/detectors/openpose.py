"""People by controlnet_aux's OpenPose networks; the drawing is ours, at the picture's own size."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.keypoints import Person, Points
from pipeline.detectors.pose_drawing import draw_people
from pipeline.detectors.torch_detector import pad_to_multiple
from pipeline.images.arrays import Batch, Pixels
from schemas.detectors import OpenposeSettings

_NETWORKS = controlnet_aux.open_pose
LEAST_SIDE = 64  # pixels: smaller pictures are padded to it, so that the network has something to halve


class Openpose:
    """Find people and draw them; nobody in the picture gives a black map, which is a result."""

    def __init__(self, settings: OpenposeSettings, folder: Path, device: str) -> None:
        self._parts = {"include_hand": settings.hands, "include_face": settings.face}
        kinds = {
            "body_pose_model.pth": _NETWORKS.Body,
            "hand_pose_model.pth": _NETWORKS.Hand,
            "facenet.pth": _NETWORKS.Face,
        }
        loaded = {name: kinds[name](str(folder / name)) for name in settings.files}  # weights alone, by torch's default
        for part in loaded.values():
            part.to(device)
        self._detector = _NETWORKS.OpenposeDetector(*(loaded.get(name) for name in kinds))

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the drawn people; the detector's own call would resize the picture to multiples of 64 first."""
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def batch(self, photos: Batch) -> Batch:
        """Return the maps of pictures of one shape, one after the other: the network takes one at a time."""
        return np.stack([self(photo) for photo in photos])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return everyone in a picture."""
        small = min(pixels.shape[:2]) < LEAST_SIDE
        seen = pad_to_multiple(pixels[None], LEAST_SIDE)[0] if small else pixels
        found = self._detector.detect_poses(seen, **self._parts)
        return [_person(pose, seen.shape[1], seen.shape[0]) for pose in found]


def _person(pose: Any, width: int, height: int) -> Person:  # noqa: ANN401 - controlnet_aux has no types
    """Return a person in pixels: the detector gives shares of the picture's sides."""
    body = _points(pose.body.keypoints, width, height)
    rest = (pose.left_hand, pose.right_hand, pose.face)
    return Person(body, *(_points(part, width, height) if part else None for part in rest))


def _points(keypoints: list[Any], width: int, height: int) -> Points:
    nowhere = (np.nan, np.nan)
    return np.array([nowhere if each is None else (each.x * width, each.y * height) for each in keypoints])
