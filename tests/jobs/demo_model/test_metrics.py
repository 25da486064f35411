"""Measure images whose results are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo_model import metrics


def square(left: int, top: int, side: int = 40) -> np.ndarray:
    """Return a white square on black, 128x128."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


@given(shift=st.integers(0, 2))
def test_edges_within_the_tolerance_agree(shift: int) -> None:
    original, shifted = (metrics.edges(square(left, 40)) for left in (40, 40 + shift))
    assert metrics.edge_f1(original, shifted) == 1


def test_distant_edges_and_missing_edges_do_not_agree() -> None:
    first, second = metrics.edges(square(10, 10, 30)), metrics.edges(square(80, 80, 30))
    assert metrics.edge_f1(first, second) == 0
    assert metrics.edge_f1(first, np.zeros_like(first)) == 0


def test_extra_edges_reduce_precision_and_missing_edges_reduce_recall() -> None:
    one = metrics.edges(square(20, 20))
    both = one | metrics.edges(square(70, 70))
    assert metrics.edge_f1(both, one) == pytest.approx(2 / 3, abs=0.02)
    assert metrics.edge_f1(one, both) == pytest.approx(2 / 3, abs=0.02)


def test_agreement_is_corrected_for_chance() -> None:
    assert metrics.over_chance(0.92, 0.52) == pytest.approx(0.8333, abs=1e-4)
    assert metrics.over_chance(0.5, 0.5) == 0


def test_changed_region_is_found() -> None:
    random = np.random.default_rng(1)
    background = random.integers(90, 110, (128, 128, 3)).astype(np.uint8)
    changed = background.copy()
    changed[30:90, 50:80] = (220, 40, 60)
    expected = np.zeros((128, 128), np.bool_)
    expected[30:90, 50:80] = True
    assert metrics.intersection_over_union(metrics.changed_region(changed, background), expected) > 0.85
    assert metrics.intersection_over_union(expected, np.roll(expected, 40, axis=1)) == 0


def test_flat_pixels_have_no_gradient() -> None:
    assert metrics.flat_share(np.full((64, 64, 3), 90, np.uint8)) == 1
    noise = np.random.default_rng(2).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert metrics.flat_share(noise) < 0.05


@pytest.mark.parametrize(("width", "sides", "darkness"), [(2, 200, 0.95), (4, 200, 0.95), (2, 40, 0.75), (24, 200, 0)])
def test_line_darkness_is_relative_to_both_sides(width: int, sides: int, darkness: float) -> None:
    image = np.full((96, 96, 3), sides, np.uint8)
    image[47 : 47 + width] = 10
    lines = np.zeros((96, 96), np.bool_)
    lines[48] = True
    assert metrics.line_darkness(image, lines) == pytest.approx(darkness)


def test_step_between_areas_has_no_line_darkness() -> None:
    lines = np.zeros((96, 96), np.bool_)
    lines[48] = True
    step, dark = (np.full((96, 96, 3), value, np.uint8) for value in (200, 2))
    step[48:] = 120
    dark[48] = 0
    assert metrics.line_darkness(step, lines) == 0
    assert metrics.line_darkness(dark, lines) == pytest.approx(0.25)


def test_depth_steps_are_between_different_neighbours() -> None:
    depth = np.zeros((10, 10), np.uint8)
    depth[:, 5:] = 100
    steps = metrics.depth_steps(depth)
    assert steps[:, 5].all()
    assert steps.sum() == 10


def test_black_and_white_differ_by_100_in_lab() -> None:
    black, white = (metrics.mean_color(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255))
    assert np.linalg.norm(white - black) == pytest.approx(100, abs=0.1)
