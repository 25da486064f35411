"""Maps of the poses of people, by the OpenPose networks of controlnet_aux."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.keypoints import Person, Points
from pipeline.detectors.pose_drawing import draw_people
from pipeline.detectors.torch_detector import pad_to_multiple
from pipeline.images.arrays import Batch, Pixels
from schemas.detectors import OpenposeSettings

_NETWORKS = controlnet_aux.open_pose
# The network halves the sides of an image repeatedly. If a side is shorter than MIN_SIDE pixels, both sides are padded
# to multiples of MIN_SIDE.
MIN_SIDE = 64


class Openpose:
    """Detects people. The map of an image without people is black."""

    def __init__(self, settings: OpenposeSettings, folder: Path, device: str) -> None:
        self._parts = {"include_hand": settings.hands, "include_face": settings.face}
        classes = {
            "body_pose_model.pth": _NETWORKS.Body,
            "hand_pose_model.pth": _NETWORKS.Hand,
            "facenet.pth": _NETWORKS.Face,
        }
        if device == "cpu":
            torch.set_num_threads(1)  # so that maps do not depend on the number of cores, as in TorchDetector
        # controlnet_aux loads the files by `torch.load`, which by default loads weights only.
        networks = {name: classes[name](str(folder / name)) for name in settings.files}
        for network in networks.values():
            network.to(device)
        self._detector = _NETWORKS.OpenposeDetector(*(networks.get(name) for name in classes))

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the map of an image: its people as OpenPose skeletons.

        `OpenposeDetector.__call__` is not used, because it resizes the image to multiples of 64.
        """
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def batch(self, photos: Batch) -> Batch:
        """Return the maps of images of one shape. The network accepts only one image at a time."""
        return np.stack([self(photo) for photo in photos])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return the people in an image, with keypoints in pixels."""
        small = min(pixels.shape[:2]) < MIN_SIDE
        padded = pad_to_multiple(pixels[None], MIN_SIDE)[0] if small else pixels
        height, width, _ = padded.shape
        return [_person(pose, width, height) for pose in self._detector.detect_poses(padded, **self._parts)]


def _person(pose: Any, width: int, height: int) -> Person:  # noqa: ANN401 - controlnet_aux has no types
    """Convert a pose of controlnet_aux, whose coordinates are fractions of the sides, to pixels."""
    body = _points(pose.body.keypoints, width, height)
    parts = (pose.left_hand, pose.right_hand, pose.face)
    return Person(body, *(_points(part, width, height) if part else None for part in parts))


def _points(keypoints: list[Any], width: int, height: int) -> Points:
    undetected = (np.nan, np.nan)
    return np.array([undetected if point is None else (point.x * width, point.y * height) for point in keypoints])
