"""The measures, on pictures whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo_model import metrics


def square(left: int, top: int, side: int = 40) -> np.ndarray:
    """Return a white square on black, 128x128."""
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[top : top + side, left : left + side] = 255
    return picture


@given(shift=st.integers(0, 2))
def test_edges_within_the_tolerance_agree(shift: int) -> None:
    one, moved = (metrics.edges(square(left, 40)) for left in (40, 40 + shift))
    assert metrics.edge_f1(one, moved) == 1


def test_edges_elsewhere_do_not_agree_and_none_agree_with_nothing() -> None:
    here, there = metrics.edges(square(10, 10, 30)), metrics.edges(square(80, 80, 30))
    assert metrics.edge_f1(here, there) == 0
    assert metrics.edge_f1(here, np.zeros_like(here)) == 0


def test_too_many_edges_cost_precision_and_too_few_recall() -> None:
    one = metrics.edges(square(20, 20))
    both = one | metrics.edges(square(70, 70))
    assert metrics.edge_f1(both, one) == pytest.approx(2 / 3, abs=0.02)
    assert metrics.edge_f1(one, both) == pytest.approx(2 / 3, abs=0.02)


def test_agreement_over_chance() -> None:
    assert metrics.over_chance(0.92, 0.52) == pytest.approx(0.8333, abs=1e-4)
    assert metrics.over_chance(0.5, 0.5) == 0


def test_what_was_drawn_in_one_picture_alone_is_found() -> None:
    random = np.random.default_rng(1)
    background = random.integers(90, 110, (128, 128, 3)).astype(np.uint8)
    painted = background.copy()
    painted[30:90, 50:80] = (220, 40, 60)
    wanted = np.zeros((128, 128), np.bool_)
    wanted[30:90, 50:80] = True
    assert metrics.intersection_over_union(metrics.changed(painted, background), wanted) > 0.85
    assert metrics.intersection_over_union(wanted, np.roll(wanted, 40, axis=1)) == 0


def test_flat_pixels_are_those_without_gradient() -> None:
    assert metrics.flat_share(np.full((64, 64, 3), 90, np.uint8)) == 1
    noise = np.random.default_rng(2).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert metrics.flat_share(noise) < 0.05


@pytest.mark.parametrize(("width", "around", "darkness"), [(2, 200, 0.95), (4, 200, 0.95), (2, 40, 0.75), (24, 200, 0)])
def test_a_line_is_darker_than_both_its_sides(width: int, around: int, darkness: float) -> None:
    lined = np.full((96, 96, 3), around, np.uint8)
    lined[47 : 47 + width] = 10
    wanted = np.zeros((96, 96), np.bool_)
    wanted[48] = True
    assert metrics.line_darkness(lined, wanted) == pytest.approx(darkness)


def test_a_step_is_no_line_and_black_on_black_hardly_one() -> None:
    wanted = np.zeros((96, 96), np.bool_)
    wanted[48] = True
    stepped, dark = (np.full((96, 96, 3), value, np.uint8) for value in (200, 2))
    stepped[48:] = 120
    dark[48] = 0
    assert metrics.line_darkness(stepped, wanted) == 0
    assert metrics.line_darkness(dark, wanted) == pytest.approx(0.25)


def test_depth_jumps_where_neighbours_differ() -> None:
    depth = np.zeros((10, 10), np.uint8)
    depth[:, 5:] = 100
    found = metrics.jumps(depth)
    assert found[:, 5].all()
    assert found.sum() == 10


def test_black_and_white_are_a_hundred_of_lab_apart() -> None:
    black, white = (metrics.mean_color(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255))
    assert np.linalg.norm(white - black) == pytest.approx(100, abs=0.1)
