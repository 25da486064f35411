"""The OpenPose map of people equals the map of controlnet_aux."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.keypoints import LAYOUTS, Person, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people

HEIGHT, WIDTH = 384, 640
pytestmark = pytest.mark.filterwarnings("ignore")


def open_pose() -> Any:
    """Import the OpenPose module of controlnet_aux, which takes seconds."""
    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    return controlnet_aux.open_pose


def to_fractions(points: NDArray[np.float64]) -> list[Any]:
    """Convert keypoints in pixels to fractions of the width and height, or None if undetected, as in controlnet_aux."""
    keypoint_class = open_pose().body.Keypoint
    return [None if np.isnan(x) else keypoint_class(x=x / WIDTH, y=y / HEIGHT) for x, y in points]


def random_points(seed: int, count: int, undetected: float, margin: float = 0.0) -> NDArray[np.float64]:
    """Return keypoints [count, 2] in pixels. Undetected keypoints are NaN.

    The coordinates are multiples of 1/64 of the width and height, so that the fractions of controlnet_aux are exact.

    Args:
        seed: The seed of the random numbers.
        count: The number of keypoints.
        undetected: The probability that a keypoint is undetected.
        margin: The width of the area around the image that contains keypoints too, as a fraction of the image.
    """
    random = np.random.default_rng(seed)
    points = random.uniform(-margin, 1 + margin, (count, 2))
    points = np.rint(points * 64) / 64 * (WIDTH, HEIGHT)
    points[random.uniform(size=count) < undetected] = np.nan
    return points


def canvas() -> NDArray[np.uint8]:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("undetected", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_body_equals_that_of_controlnet_aux(seed: int, undetected: float, margin: float) -> None:
    body = random_points(seed, 18, undetected, margin)
    expected = open_pose().util.draw_bodypose(canvas(), to_fractions(body))
    assert (draw_people([Person(body)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(5))
def test_hand_equals_that_of_controlnet_aux(seed: int) -> None:
    hand = random_points(seed, 21, 0)
    hand[3], hand[7] = (0, 100), (100, 0)  # in the first column and row, where controlnet_aux omits keypoints
    expected = open_pose().util.draw_handpose(canvas(), to_fractions(hand))
    no_body = np.full((18, 2), np.nan)
    assert (draw_people([Person(no_body, left_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert (draw_people([Person(no_body, right_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(3))
def test_face_equals_that_of_controlnet_aux(seed: int) -> None:
    face = random_points(seed, 68, 0)
    expected = open_pose().util.draw_facepose(canvas(), to_fractions(face))
    no_body = np.full((18, 2), np.nan)
    assert (draw_people([Person(no_body, face=face)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


def test_map_of_several_people_equals_that_of_controlnet_aux() -> None:
    people = [Person(*(random_points(seed + part, count, 0) for part, count in enumerate((18, 21, 21, 68)))) for seed in (10, 20)]  # fmt: skip  # noqa: E501 - body, hands, face
    poses = [
        open_pose().PoseResult(
            open_pose().body.BodyResult(to_fractions(person.body), 0.0, 18),
            *(to_fractions(part) for part in (person.left_hand, person.right_hand, person.face) if part is not None),
        )
        for person in people
    ]
    expected = open_pose().draw_poses(poses, HEIGHT, WIDTH)
    assert (draw_people(people, HEIGHT, WIDTH) == expected).all()


@pytest.mark.parametrize("count", list(LAYOUTS))
def test_map_of_a_person_does_not_depend_on_the_keypoint_layout(count: int) -> None:
    body = random_points(4, 18, 0)
    body[1] = body[[2, 5]].mean(axis=0)  # the neck, which is computed from the shoulders if the layout has no neck
    points = np.zeros((count, 3))
    for number, index in enumerate(LAYOUTS[count]):
        if index is not None:
            points[index] = (*body[number], 1.0)
    control_map = draw_people([person_from_keypoints(points)], HEIGHT, WIDTH)
    assert (control_map == draw_people([Person(body)], HEIGHT, WIDTH)).all()


def test_map_without_people_is_black() -> None:
    assert not draw_people([], 8, 9).any()
    assert draw_people([], 8, 9).shape == (8, 9, 3)
