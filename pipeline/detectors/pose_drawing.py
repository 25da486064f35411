"""The OpenPose map of people.

The ControlNet was trained on maps of OpenPose's renderer. Widths, colours and brightness are constants of the module
`open_pose.util` of controlnet_aux 0.0.10, and each pixel of a map equals that of controlnet_aux.
"""

import colorsys
import math

import cv2
import numpy as np

from pipeline.detectors.keypoints import Person, Points
from pipeline.images.arrays import Pixels

STICK_WIDTH = 4  # pixels
LIMB_STRENGTH = 0.6  # brightness of a limb relative to its colour
# The limbs, as pairs of indices of OpenPose's 18 keypoints, which `pipeline.detectors.keypoints` lists.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLORS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
# A hand has 21 keypoints: the wrist, then four of each finger, beginning with the thumb. Lines connect these pairs, in
# evenly spaced hues.
FINGERS = tuple(
    (0 if joint == 1 else 4 * finger + joint - 1, 4 * finger + joint) for finger in range(5) for joint in range(1, 5)
)
FINGER_COLORS = tuple(
    tuple(255 * channel for channel in colorsys.hsv_to_rgb(number / len(FINGERS), 1, 1))
    for number in range(len(FINGERS))
)
FINGER_WIDTH = 2
HAND_RADIUS, HAND_COLOR = 4, (0, 0, 255)
FACE_RADIUS, FACE_COLOR = 3, (255, 255, 255)


def draw_people(people: list[Person], height: int, width: int) -> Pixels:
    """Draw people as an OpenPose map: [height, width, 3], uint8, RGB. Without people it is black."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in people:
        _draw_limbs(canvas, person.body)
        _draw_joints(canvas, person.body)
        for hand in (person.left_hand, person.right_hand):
            if hand is not None:
                _draw_hand(canvas, hand)
        if person.face is not None:
            _draw_dots(canvas, person.face, FACE_RADIUS, FACE_COLOR)
    return canvas


def _draw_limbs(canvas: Pixels, body: Points) -> None:
    for (start, end), color in zip(LIMBS, COLORS, strict=False):  # 17 limbs use the first 17 of 18 colours
        pair = body[[start, end]]
        if np.isnan(pair).any():
            continue
        middle, difference = pair.mean(axis=0), pair[0] - pair[1]
        angle = int(math.degrees(math.atan2(difference[1], difference[0])))
        axes = (int(math.hypot(*difference) / 2), STICK_WIDTH)
        limb = np.array(cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, limb, [int(channel * LIMB_STRENGTH) for channel in color])


def _draw_joints(canvas: Pixels, body: Points) -> None:
    for (x, y), color in zip(body, COLORS, strict=True):
        if not math.isnan(x):
            cv2.circle(canvas, (int(x), int(y)), STICK_WIDTH, color, thickness=-1)


def _draw_hand(canvas: Pixels, hand: Points) -> None:
    for (start, end), color in zip(FINGERS, FINGER_COLORS, strict=True):
        first, second = _pixel(hand[start]), _pixel(hand[end])
        if first and second:
            cv2.line(canvas, first, second, color, thickness=FINGER_WIDTH)
    _draw_dots(canvas, hand, HAND_RADIUS, HAND_COLOR)


def _draw_dots(canvas: Pixels, points: Points, radius: int, color: tuple[int, int, int]) -> None:
    for point in points:
        center = _pixel(point)
        if center:
            cv2.circle(canvas, center, radius, color, thickness=-1)


def _pixel(point: Points) -> tuple[int, int] | None:
    """Return the pixel of a keypoint of a hand or a face, or None if it is not drawn.

    Like the original renderer, this omits keypoints in the first row or column.
    """
    if np.isnan(point).any():
        return None
    x, y = (int(value) for value in point)
    return (x, y) if x > 0 and y > 0 else None
