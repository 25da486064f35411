"""People: every order of keypoints comes to OpenPose's, left stays left, and what was not found stays so."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.keypoints import LAYOUTS, person_from_keypoints

# OpenPose's names, and where each stands in COCO's order and mediapipe's PoseLandmark.
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
    """Return keypoints whose x tells their number."""
    return np.column_stack([np.arange(count) + 1.0, np.full(count, 5.0), np.full(count, 2.0)])


@pytest.mark.parametrize("count", [17, 133])
def test_cocos_order_by_its_names(count: int) -> None:
    body = person_from_keypoints(numbered(count)).body
    for place, name in enumerate(NAMES):
        expected = (6.5 if name == "neck" else COCO.index(name) + 1.0, 5.0)  # the neck: between shoulders 5 and 6
        assert tuple(body[place]) == expected


def test_blazeposes_order_by_the_librarys_names() -> None:
    from mediapipe.tasks.python.vision import PoseLandmark

    body = person_from_keypoints(numbered(33)).body
    for place, name in enumerate(NAMES):
        number = 12.5 if name == "neck" else PoseLandmark[name.upper()].value + 1.0
        assert tuple(body[place]) == (number, 5.0)


def test_openposes_own_order_has_its_neck() -> None:
    assert (person_from_keypoints(numbered(18)).body == numbered(18)[:, :2]).all()


@pytest.mark.parametrize("count", list(LAYOUTS))
def test_what_was_not_found_is_nowhere(count: int) -> None:
    points = numbered(count)
    points[LAYOUTS[count][2], 2] = 0  # type: ignore[index]  # the right shoulder is in each order
    body = person_from_keypoints(points).body
    assert np.isnan(body[2]).all()
    assert np.isnan(body[1]).all() == (count != 18)  # no neck without both shoulders
    assert not np.isnan(body[5]).any()


def test_hands_and_face_of_a_whole_body() -> None:
    person = person_from_keypoints(numbered(133))
    assert person.face is not None
    assert person.left_hand is not None
    assert person.right_hand is not None
    assert (person.face[0, 0], person.face[-1, 0], len(person.face)) == (24, 91, 68)
    assert (person.left_hand[0, 0], person.right_hand[0, 0], person.right_hand[-1, 0]) == (92, 113, 133)
    bare = person_from_keypoints(numbered(133), hands=False, face=False)
    assert (bare.left_hand, bare.right_hand, bare.face) == (None, None, None)


@pytest.mark.parametrize("count", [0, 16, 21, 70])
def test_another_number_is_no_person(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} keypoints: a person has 17, 18, 33, 133"):
        person_from_keypoints(numbered(count))
