"""The OpenPose map of people, which equals that of controlnet_aux."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.keypoints import LAYOUTS, Person, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people

HEIGHT, WIDTH = 384, 640
pytestmark = pytest.mark.filterwarnings("ignore")


def library() -> Any:
    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    return controlnet_aux.open_pose


def library_points(points: NDArray[np.float64]) -> list[Any]:
    """Convert keypoints to those of controlnet_aux: shares of the sides, None for an undetected one."""
    keypoint = library().body.Keypoint
    return [None if np.isnan(x) else keypoint(x=x / WIDTH, y=y / HEIGHT) for x, y in points]


def random_points(seed: int, count: int, missing: float, beyond: float = 0.0) -> NDArray[np.float64]:
    """Return keypoints [count, 2] at multiples of 1/64 of the sides, which are exact as shares.

    Args:
        seed: The seed of the random numbers.
        count: The number of keypoints.
        missing: The share of undetected keypoints.
        beyond: How far they can be outside the image, as a share of its sides.
    """
    random = np.random.default_rng(seed)
    points = random.uniform(-beyond, 1 + beyond, (count, 2))
    points = np.rint(points * 64) / 64 * (WIDTH, HEIGHT)
    points[random.uniform(size=count) < missing] = np.nan
    return points


def canvas() -> NDArray[np.uint8]:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("beyond", [0.0, 0.5])
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_body_equals_that_of_controlnet_aux(seed: int, missing: float, beyond: float) -> None:
    body = random_points(seed, 18, missing, beyond)
    expected = library().util.draw_bodypose(canvas(), library_points(body))
    assert (draw_people([Person(body)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(5))
def test_hand_equals_that_of_controlnet_aux(seed: int) -> None:
    hand = random_points(seed, 21, 0)
    hand[3], hand[7] = (0, 100), (100, 0)  # in the first column and row, where the library omits them
    expected = library().util.draw_handpose(canvas(), library_points(hand))
    no_body = np.full((18, 2), np.nan)
    assert (draw_people([Person(no_body, left_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert (draw_people([Person(no_body, right_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(3))
def test_face_equals_that_of_controlnet_aux(seed: int) -> None:
    face = random_points(seed, 68, 0)
    expected = library().util.draw_facepose(canvas(), library_points(face))
    control_map = draw_people([Person(np.full((18, 2), np.nan), face=face)], HEIGHT, WIDTH)
    assert (control_map == expected).all()
    assert expected.any()


def test_several_people_are_drawn_in_the_order_of_controlnet_aux() -> None:
    people = [Person(*(random_points(seed + part, count, 0) for part, count in enumerate((18, 21, 21, 68)))) for seed in (10, 20)]  # fmt: skip  # noqa: E501 - body, hands, face
    poses = [
        library().PoseResult(
            library().body.BodyResult(library_points(person.body), 0.0, 18),
            *(library_points(part) for part in (person.left_hand, person.right_hand, person.face) if part is not None),
        )
        for person in people
    ]
    expected = library().draw_poses(poses, HEIGHT, WIDTH)
    assert (draw_people(people, HEIGHT, WIDTH) == expected).all()


@pytest.mark.parametrize("count", list(LAYOUTS))
def test_map_of_a_person_does_not_depend_on_the_layout(count: int) -> None:
    body = random_points(4, 18, 0)
    body[1] = body[[2, 5]].mean(axis=0)  # the neck, as it is computed for COCO and mediapipe
    points = np.zeros((count, 3))
    for number, index in enumerate(LAYOUTS[count]):
        if index is not None:
            points[index] = (*body[number], 1.0)
    assert (
        draw_people([person_from_keypoints(points)], HEIGHT, WIDTH) == draw_people([Person(body)], HEIGHT, WIDTH)
    ).all()


def test_map_without_people_is_black() -> None:
    assert not draw_people([], 8, 9).any()
    assert draw_people([], 8, 9).shape == (8, 9, 3)
