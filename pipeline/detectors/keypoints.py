"""People as keypoints: the layouts of libraries and datasets, and their conversion to OpenPose's layout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""[K, 2], or [2] for a single keypoint: x and y in pixels, NaN for a keypoint that was not detected."""

# A layout lists, for each of OpenPose's 18 keypoints in order, the index of the same keypoint in another library or
# dataset. OpenPose's keypoints are: nose, neck, right shoulder, elbow and wrist, left shoulder, elbow and wrist, right
# hip, knee and ankle, left hip, knee and ankle, right eye, left eye, right ear, left ear. A layout without a neck has
# None in its position, and the neck is computed as the midpoint of the shoulders.
COCO_17 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
OPENPOSE_18 = tuple(range(18))
BLAZEPOSE_33 = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)  # mediapipe's PoseLandmark
LAYOUTS: dict[int, tuple[int | None, ...]] = {17: COCO_17, 18: OPENPOSE_18, 33: BLAZEPOSE_33, 133: COCO_17}
"""Layouts by the number of keypoints of a person. COCO-WholeBody's 133 begin with COCO's 17."""
# COCO-WholeBody: 17 keypoints of the body, 6 of the feet, 68 of the face, 21 of each hand.
WHOLE_BODY = 133
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
SHOULDERS = [2, 5]  # indices in OpenPose's layout
NECK = 1


@dataclass(frozen=True)
class Person:
    """A person in OpenPose's layout.

    Attributes:
        body: [18, 2].
        left_hand: [21, 2], or None if unknown.
        right_hand: [21, 2], or None if unknown.
        face: [68, 2] to [70, 2], or None if unknown.
    """

    body: Points
    left_hand: Points | None = None
    right_hand: Points | None = None
    face: Points | None = None


def person_from_keypoints(keypoints: NDArray[np.float64], *, hands: bool = True, face: bool = True) -> Person:
    """Convert the keypoints of a person to OpenPose's layout.

    Args:
        keypoints: [K, 3], x, y and visibility; a keypoint of visibility 0 or less was not detected. K selects the
            layout, one of `LAYOUTS`.
        hands: Whether to convert the hands of a whole body.
        face: Whether to convert the face of a whole body.

    Raises:
        ValueError: No layout has K keypoints.
    """
    count = len(keypoints)
    if count not in LAYOUTS:
        raise ValueError(f"{count} keypoints: a person must have one of {', '.join(map(str, LAYOUTS))}")
    points = np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan)  # [K, 2]
    undetected = np.full(2, np.nan)
    body = np.array([undetected if index is None else points[index] for index in LAYOUTS[count]])  # [18, 2]
    if LAYOUTS[count][NECK] is None:
        body[NECK] = body[SHOULDERS].mean(axis=0)  # NaN unless both shoulders were detected
    if count != WHOLE_BODY:
        return Person(body)
    left, right = (points[LEFT_HAND], points[RIGHT_HAND]) if hands else (None, None)
    return Person(body, left, right, points[FACE] if face else None)
