"""People as keypoints: the orders that libraries and datasets give them in, and OpenPose's, which is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""[K, 2], x and y in pixels, NaN where a keypoint was not found."""

# For each of OpenPose's 18 keypoints (nose, neck, right shoulder, elbow, wrist, left ones, right hip, knee, ankle, left
# ones, right eye, left eye, right ear, left ear) its place in another order; the neck, here None, is the middle of the
# shoulders where the order has none.
COCO_17 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
OPENPOSE_18 = tuple(range(18))
BLAZEPOSE_33 = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)  # mediapipe's PoseLandmark
LAYOUTS: dict[int, tuple[int | None, ...]] = {17: COCO_17, 18: OPENPOSE_18, 33: BLAZEPOSE_33, 133: COCO_17}
"""By the number of a person's keypoints; COCO-WholeBody's 133 begin with COCO's 17."""
# COCO-WholeBody: 17 of the body, 6 of the feet, 68 of the face, 21 of each hand.
WHOLE_BODY = 133
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
SHOULDERS = [2, 5]  # in OpenPose's order
NECK = 1


@dataclass(frozen=True)
class Person:
    """A person in OpenPose's order: body [18, 2], hands [21, 2] and face [68 to 70, 2] where they are known."""

    body: Points
    left_hand: Points | None = None
    right_hand: Points | None = None
    face: Points | None = None


def person_from_keypoints(keypoints: NDArray[np.float64], *, hands: bool = True, face: bool = True) -> Person:
    """Return the person of keypoints [K, 3] (x, y, visibility; 0 and below: not found), whose number tells the order.

    Of a whole body, `hands` and `face` tell what else than the body is wanted. Raises `ValueError` for another number.
    """
    count = len(keypoints)
    if count not in LAYOUTS:
        message = f"{count} keypoints: a person has {', '.join(str(known) for known in LAYOUTS)}"
        raise ValueError(message)
    found = np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan)  # [K, 2]
    nowhere = np.full(2, np.nan)
    body = np.array([nowhere if place is None else found[place] for place in LAYOUTS[count]])
    if LAYOUTS[count][NECK] is None:
        body[NECK] = body[SHOULDERS].mean(axis=0)  # NaN unless both shoulders are there
    if count != WHOLE_BODY:
        return Person(body)
    left, right = (found[LEFT_HAND], found[RIGHT_HAND]) if hands else (None, None)
    return Person(body, left, right, found[FACE] if face else None)
