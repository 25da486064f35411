"""People: COCO's keypoints, left and right as COCO has them, and a body over them."""

import numpy as np
import pytest

from jobs.demo_model import scene_people
from jobs.demo_model.scene_canvas import SIDE


@pytest.mark.parametrize("seed", range(8))
def test_the_persons_left_is_the_pictures_right_and_heads_are_above_feet(seed: int) -> None:
    skeleton = scene_people.random_skeleton(np.random.default_rng(seed), 200, np.array([128.0, 250]))
    for joint in ("shoulder", "hip", "eye", "ear"):
        assert skeleton[f"left_{joint}"][0] > skeleton[f"right_{joint}"][0]
    assert skeleton["nose"][1] < skeleton["left_shoulder"][1] < skeleton["left_hip"][1] < skeleton["left_ankle"][1]


def test_keypoints_are_cocos_and_those_outside_are_not_there() -> None:
    skeleton = scene_people.random_skeleton(np.random.default_rng(2), 180, np.array([128.0, 220]))
    inside = scene_people.keypoints(skeleton, SIDE)
    assert inside.shape == (17, 3)
    assert (inside[0, :2] == skeleton["nose"]).all()
    assert (inside[16, :2] == skeleton["right_ankle"]).all()
    moved = {name: point + np.array([400, 0]) for name, point in skeleton.items()}
    assert not scene_people.keypoints(moved, SIDE).any()


def test_a_body_covers_its_joints_and_not_the_picture() -> None:
    for seed in range(5):
        skeleton = scene_people.random_skeleton(np.random.default_rng(seed), 200, np.array([128.0, 250]))
        covered = scene_people.covered(skeleton, 200, SIDE)
        joints = np.delete(scene_people.keypoints(skeleton, SIDE), [3, 4], axis=0)  # ears stand out
        columns, rows, _ = joints[joints[:, 2] > 0].astype(int).T
        assert covered[rows, columns].all()
        assert 0.03 < covered.mean() < 0.3


def test_looks_differ() -> None:
    random = np.random.default_rng(1)
    assert len({scene_people.random_look(random) for _ in range(20)}) > 15
