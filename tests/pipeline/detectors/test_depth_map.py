"""From depth of any range to the map: near is white, flat is black."""

import numpy as np

from pipeline.detectors.depth_map import depth_to_map


def test_minimum_is_black_and_maximum_white() -> None:
    drawn = depth_to_map(np.array([[-3.0, 0.0], [1.0, 5.0]]))
    assert drawn[..., 0].tolist() == [[0, 96], [128, 255]]
    assert drawn.shape == (2, 2, 3)


def test_a_flat_depth_does_not_divide_by_zero() -> None:
    assert not depth_to_map(np.full((4, 5), 2.0, np.float32)).any()
