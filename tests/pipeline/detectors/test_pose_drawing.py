"""The drawing of people is controlnet_aux's, pixel for pixel: bodies, hands and faces, and several of them."""

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


def theirs(points: NDArray[np.float64]) -> list[Any]:
    """Return keypoints as the library has them: shares of the sides, None for what was not found."""
    keypoint = library().body.Keypoint
    return [None if np.isnan(x) else keypoint(x=x / WIDTH, y=y / HEIGHT) for x, y in points]


def random_points(seed: int, count: int, missing: float, beyond: float = 0.0) -> NDArray[np.float64]:
    """Return keypoints on whole 64ths of the sides, so that shares of them are exact, some of them not found."""
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
def test_a_body(seed: int, missing: float, beyond: float) -> None:
    body = random_points(seed, 18, missing, beyond)
    expected = library().util.draw_bodypose(canvas(), theirs(body))
    assert (draw_people([Person(body)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(5))
def test_a_hand(seed: int) -> None:
    hand = random_points(seed, 21, 0)
    hand[3], hand[7] = (0, 100), (100, 0)  # in the first column and row: the library leaves them out
    expected = library().util.draw_handpose(canvas(), theirs(hand))
    nobody = np.full((18, 2), np.nan)
    assert (draw_people([Person(nobody, left_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert (draw_people([Person(nobody, right_hand=hand)], HEIGHT, WIDTH) == expected).all()
    assert expected.any()


@pytest.mark.parametrize("seed", range(3))
def test_a_face(seed: int) -> None:
    face = random_points(seed, 68, 0)
    expected = library().util.draw_facepose(canvas(), theirs(face))
    drawn = draw_people([Person(np.full((18, 2), np.nan), face=face)], HEIGHT, WIDTH)
    assert (drawn == expected).all()
    assert expected.any()


def test_several_whole_people_in_the_librarys_order() -> None:
    people = [Person(*(random_points(seed + part, count, 0) for part, count in enumerate((18, 21, 21, 68)))) for seed in (10, 20)]  # fmt: skip  # noqa: E501 - body, hands, face
    poses = [
        library().PoseResult(
            library().body.BodyResult(theirs(person.body), 0.0, 18),
            *(theirs(part) for part in (person.left_hand, person.right_hand, person.face) if part is not None),
        )
        for person in people
    ]
    expected = library().draw_poses(poses, HEIGHT, WIDTH)
    assert (draw_people(people, HEIGHT, WIDTH) == expected).all()


@pytest.mark.parametrize("count", list(LAYOUTS))
def test_every_order_of_the_same_person_is_the_same_picture(count: int) -> None:
    body = random_points(4, 18, 0)
    body[1] = body[[2, 5]].mean(axis=0)  # the neck, where COCO's and mediapipe's orders put it
    points = np.zeros((count, 3))
    for place, there in enumerate(LAYOUTS[count]):
        if there is not None:
            points[there] = (*body[place], 1.0)
    assert (
        draw_people([person_from_keypoints(points)], HEIGHT, WIDTH) == draw_people([Person(body)], HEIGHT, WIDTH)
    ).all()


def test_nobody_is_black() -> None:
    assert not draw_people([], 8, 9).any()
    assert draw_people([], 8, 9).shape == (8, 9, 3)
