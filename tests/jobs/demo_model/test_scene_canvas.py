"""Shapes on a canvas: the same in the drawing, the photo and the depth."""

import numpy as np
import pytest

from jobs.demo_model.metrics import intersection_over_union
from jobs.demo_model.scene_canvas import SHADOW, SIDE, Canvas, capsule, ellipse


@pytest.fixture
def canvas() -> Canvas:
    """Return an empty canvas under a pale sky."""
    return Canvas(np.random.default_rng(1), (200, 220, 240))


def test_an_empty_canvas_is_sky_infinitely_far(canvas: Canvas) -> None:
    drawn, photo, depth = canvas.finished()
    assert (drawn == (200, 220, 240)).all()
    assert np.abs(photo.mean((0, 1)) - (200, 220, 240)).max() < 2
    assert not depth.any()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_nearer_shape_covers_a_farther_one_in_every_layer(canvas: Canvas, order: tuple[int, int]) -> None:
    discs = [(110.0, (40, 90, 40), 0.4), (150.0, (220, 40, 40), 1.0)]
    for middle, color, near in (discs[number] for number in order):
        canvas.polygon(ellipse(np.array([middle, 128]), 120, 120), color, near)
    drawn, photo, depth = canvas.finished()
    assert depth[128, 120] == 255
    assert depth[128, 60] == 102
    assert drawn[128, 120, 0] > 150 > drawn[128, 60, 0]
    assert (drawn[100:156, 120:200] > 20).any(axis=2).all()  # the hidden outline is not drawn either
    assert photo[128, 120, 0] > 150 > photo[128, 60, 0]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    wanted = np.hypot(columns - 150, rows - 128) < 60
    assert intersection_over_union(depth == 255, wanted) > 0.97


def test_what_is_far_takes_the_skys_colour(canvas: Canvas) -> None:
    canvas.polygon(ellipse(np.array([60.0, 60]), 20, 20), (0, 0, 0), 0.1, outline=False)
    canvas.polygon(ellipse(np.array([160.0, 160]), 20, 20), (0, 0, 0), 1.0, outline=False)
    drawn, _, _ = canvas.finished()
    assert drawn[60, 60].mean() > 60
    assert drawn[160, 160].mean() == 0


def test_a_floor_comes_nearer_downwards(canvas: Canvas) -> None:
    floor = np.array([[-9.0, 100], [SIDE + 9, 100], [SIDE + 9, SIDE + 9], [-9, SIDE + 9]])
    canvas.polygon(floor, (90, 90, 90), 0.5, rise=0.6)
    _, _, depth = canvas.finished()
    assert (np.diff(depth[110:250, 128].astype(int)) >= 0).all()
    assert depth[250, 128] > depth[110, 128] + 100


def test_a_floor_is_drawn_in_one_colour_and_a_thing_with_its_shadow() -> None:
    floor = np.array([[-9.0, 100], [SIDE + 9, 100], [SIDE + 9, SIDE + 9], [-9, SIDE + 9]])
    shadowed = 0
    for seed in range(6):
        canvas = Canvas(np.random.default_rng(seed), (200, 220, 240))
        canvas.polygon(floor, (90, 90, 90), 1.0, outline=False)
        assert (canvas.finished()[0][102:] == 90).all()
        canvas.polygon(ellipse(np.array([128.0, 50]), 60, 60), (220, 40, 40), 1.0, outline=False)
        shadowed += int((canvas.finished()[0][..., 0] == round(220 * SHADOW)).sum())
    assert shadowed > 500


def test_a_capsule_is_as_wide_as_it_is_said(canvas: Canvas) -> None:
    canvas.polygon(capsule(np.array([60.0, 128]), np.array([196.0, 128]), 30), (0, 0, 0), 1.0)
    _, _, depth = canvas.finished()
    assert (depth[:, 128] > 0).sum() == pytest.approx(30, abs=2)
    assert (depth[128] > 0).sum() == pytest.approx(196 - 60 + 30, abs=2)


def test_a_line_upon_a_hidden_shape_is_hidden(canvas: Canvas) -> None:
    canvas.polygon(ellipse(np.array([128.0, 128]), 120, 120), (220, 40, 40), 1.0)
    canvas.line(np.array([[20.0, 128], [236, 128]]), 4, 0.5, (0, 0, 255))
    drawn, photo, _ = canvas.finished()
    assert drawn[128, 30, 2] > 200 > drawn[128, 128, 2]
    assert photo[128, 30, 2] > 200 > photo[128, 128, 2]


def test_what_stands_is_not_hidden_by_its_ground(canvas: Canvas) -> None:
    floor = np.array([[-9.0, 100], [SIDE + 9, 100], [SIDE + 9, SIDE + 9], [-9, SIDE + 9]])
    canvas.polygon(floor, (90, 90, 90), 0.5, rise=0.6)
    foot = np.array([128.0, 220])
    near = canvas.standing(foot, 0.2)
    canvas.polygon(capsule(foot - [0, 100], foot - [0, 8], 12), (255, 0, 0), near)
    drawn, _, depth = canvas.finished()
    assert near == pytest.approx(depth[220, 128] / 255, abs=0.01)
    assert (drawn[130:205, 128, 1] < 60).all()
    assert canvas.standing(np.array([128.0, 50]), 0.2) == 0.2
