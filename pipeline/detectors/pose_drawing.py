"""The OpenPose map of given keypoints, and COCO's keypoints in OpenPose's order.

The picture of a pose is what the net was trained on: stick width, colours and their strength are constants of
OpenPose's renderer as controlnet_aux 0.0.10 draws it (`open_pose.util.draw_bodypose`), pixel for pixel.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.detectors import Pixels

STICK_WIDTH = 4
LIMB_STRENGTH = 0.6
# Pairs of OpenPose's 18 keypoints, from 0: nose, neck, right arm, left arm, right leg, left leg, eyes, ears.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLORS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
# Where each OpenPose keypoint stands among COCO's 17; the neck, here None, is the middle of the shoulders.
COCO_OF_OPENPOSE = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
COCO_SHOULDERS = (5, 6)
COCO_KEYPOINTS = 17

Keypoints = NDArray[np.float64]
"""[18, 2], x and y in pixels, NaN where a keypoint was not found."""


def draw_people(people: list[Keypoints], height: int, width: int) -> Pixels:
    """Return the OpenPose map [height, width, 3] of people; nobody is a black map."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for keypoints in people:
        _draw_limbs(canvas, keypoints)
        _draw_joints(canvas, keypoints)
    return canvas


def openpose_from_coco(person: NDArray[np.float64]) -> Keypoints:
    """Return COCO's keypoints [17, 3] (x, y, visibility; 0: not labelled) in OpenPose's order."""
    found = np.where(person[:, 2:] > 0, person[:, :2], np.nan)  # [17, 2]
    neck = found[list(COCO_SHOULDERS)].mean(axis=0)  # NaN unless both shoulders are there
    return np.array([neck if index is None else found[index] for index in COCO_OF_OPENPOSE])


def _draw_limbs(canvas: Pixels, keypoints: Keypoints) -> None:
    for (start, end), color in zip(LIMBS, COLORS, strict=False):  # 17 limbs take the first 17 of 18 colours
        pair = keypoints[[start, end]]
        if np.isnan(pair).any():
            continue
        middle, along = pair.mean(axis=0), pair[0] - pair[1]
        angle = int(math.degrees(math.atan2(along[1], along[0])))
        axes = (int(math.hypot(*along) / 2), STICK_WIDTH)
        limb = np.array(cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, limb, [int(channel * LIMB_STRENGTH) for channel in color])


def _draw_joints(canvas: Pixels, keypoints: Keypoints) -> None:
    for (x, y), color in zip(keypoints, COLORS, strict=True):
        if not math.isnan(x):
            cv2.circle(canvas, (int(x), int(y)), STICK_WIDTH, color, thickness=-1)
