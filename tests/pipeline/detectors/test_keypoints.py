"""People as keypoints: the conversion of each layout to that of OpenPose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.keypoints import LAYOUTS, person_from_keypoints

# The names of the keypoints in the layouts of OpenPose and COCO.
NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip


def numbered(count: int) -> NDArray[np.float64]:
    """Return keypoints [count, 3] whose x is their number, from 1."""
    return np.column_stack([np.arange(count) + 1.0, np.full(count, 5.0), np.full(count, 2.0)])


@pytest.mark.parametrize("count", [17, 133])
def test_coco_layout_by_its_names(count: int) -> None:
    body = person_from_keypoints(numbered(count)).body
    for index, name in enumerate(NAMES):
        number = 6.5 if name == "neck" else COCO.index(name) + 1.0  # the neck is between the shoulders, 6 and 7
        assert tuple(body[index]) == (number, 5.0)


def test_blazepose_layout_by_the_names_of_mediapipe() -> None:
    from mediapipe.tasks.python.vision import PoseLandmark

    body = person_from_keypoints(numbered(33)).body
    for index, name in enumerate(NAMES):
        number = 12.5 if name == "neck" else PoseLandmark[name.upper()].value + 1.0
        assert tuple(body[index]) == (number, 5.0)


def test_openpose_layout_is_unchanged() -> None:
    assert (person_from_keypoints(numbered(18)).body == numbered(18)[:, :2]).all()


@pytest.mark.parametrize("count", list(LAYOUTS))
def test_undetected_keypoints_are_nan(count: int) -> None:
    points = numbered(count)
    points[LAYOUTS[count][2], 2] = 0  # type: ignore[index]  # all layouts have the right shoulder
    body = person_from_keypoints(points).body
    assert np.isnan(body[2]).all()
    assert np.isnan(body[1]).all() == (count != 18)  # the neck needs both shoulders
    assert not np.isnan(body[5]).any()


def test_hands_and_face_of_a_whole_body() -> None:
    person = person_from_keypoints(numbered(133))
    assert person.face is not None
    assert person.left_hand is not None
    assert person.right_hand is not None
    assert (person.face[0, 0], person.face[-1, 0], len(person.face)) == (24, 91, 68)
    assert (person.left_hand[0, 0], person.right_hand[0, 0], person.right_hand[-1, 0]) == (92, 113, 133)
    body_only = person_from_keypoints(numbered(133), hands=False, face=False)
    assert (body_only.left_hand, body_only.right_hand, body_only.face) == (None, None, None)


@pytest.mark.parametrize("count", [0, 16, 21, 70])
def test_unknown_number_of_keypoints_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=f"^{count} .*17, 18, 33, 133"):
        person_from_keypoints(numbered(count))
