"""The drawing of poses is controlnet_aux's, pixel for pixel."""

import numpy as np
import pytest

from pipeline.detectors.pose_drawing import draw_people, openpose_from_coco


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_the_map_is_that_of_controlnet_aux(seed: int) -> None:
    from controlnet_aux.open_pose.body import Keypoint
    from controlnet_aux.open_pose.util import draw_bodypose

    random = np.random.default_rng(seed)
    height, width = 384, 640
    keypoints = random.uniform(0, 1, (18, 2))
    missing = random.uniform(size=18) < 0.2
    theirs = [None if gone else Keypoint(x=x, y=y) for (x, y), gone in zip(keypoints, missing, strict=True)]
    expected = draw_bodypose(np.zeros((height, width, 3), np.uint8), theirs)
    ours = np.where(missing[:, None], np.nan, keypoints * (width, height))
    assert (draw_people([ours], height, width) == expected).all()
    assert expected.any()


def test_the_neck_is_the_middle_of_the_shoulders_and_needs_both() -> None:
    person = np.zeros((17, 3))
    person[5], person[6] = (40, 10, 2), (20, 14, 1)
    assert openpose_from_coco(person)[1].tolist() == [30, 12]
    assert openpose_from_coco(person)[2].tolist() == [20, 14]  # OpenPose's right shoulder
    person[6, 2] = 0
    assert np.isnan(openpose_from_coco(person)[1]).all()


def test_nobody_is_black() -> None:
    assert not draw_people([], 8, 9).any()
    assert draw_people([], 8, 9).shape == (8, 9, 3)
