"""The control map of a relative depth."""

import numpy as np

from pipeline.detectors.depth_map import depth_to_map


def test_minimum_is_black_and_maximum_is_white() -> None:
    control_map = depth_to_map(np.array([[-3.0, 0.0], [1.0, 5.0]]))
    assert control_map[..., 0].tolist() == [[0, 96], [128, 255]]
    assert control_map.shape == (2, 2, 3)


def test_constant_depth_is_black() -> None:
    assert not depth_to_map(np.full((4, 5), 2.0, np.float32)).any()
