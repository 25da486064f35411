"""Scenes: the same for the same seed, and their truth is the truth of their pixels."""

import numpy as np
import pytest

from jobs.demo_model import metrics
from jobs.demo_model.scene_canvas import SIDE
from jobs.demo_model.scenes import random_scene

SEEDS = range(12)


def test_a_seed_is_a_scene() -> None:
    one, same, other = (random_scene(seed) for seed in (4, 4, 5))
    assert (one.drawn == same.drawn).all()
    assert (one.photo == same.photo).all()
    assert (one.drawn != other.drawn).any()


def test_photo_and_drawing_show_the_same_shapes() -> None:
    for seed in SEEDS:
        scene = random_scene(seed)
        assert scene.drawn.shape == scene.photo.shape == (SIDE, SIDE, 3)
        assert np.abs(scene.drawn.mean((0, 1)) - scene.photo.mean((0, 1))).max() < 30


def test_where_depth_jumps_the_drawing_has_an_edge() -> None:
    scores = []
    for seed in SEEDS:
        scene = random_scene(seed)
        steps = metrics.jumps(scene.depth)
        drawn = metrics.grown(metrics.edges(scene.drawn), metrics.TOLERANCE)
        scores.append((steps & drawn).sum() / max(1, steps.sum()))
    assert np.mean(scores) > 0.9


def test_people_stand_where_their_keypoints_are() -> None:
    nearness = []
    for seed in SEEDS:
        scene = random_scene(seed)
        for person in scene.people:
            seen = person[person[:, 2] > 0].astype(int)
            assert ((seen[:, :2] >= 0) & (seen[:, :2] < SIDE)).all()
            nearness += list(scene.depth[seen[:, 1], seen[:, 0]])
    assert len(nearness) > 40
    assert np.min(nearness) > 0.3 * 255  # people are in the foreground


@pytest.mark.parametrize("seed", SEEDS)
def test_words_say_whether_anyone_is_there(seed: int) -> None:
    scene = random_scene(seed)
    assert bool(scene.people) == bool({"person", "people"} & set(scene.words))
