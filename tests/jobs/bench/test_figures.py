"""Figures: what they are compared with, and when they hold."""

import numpy as np

from jobs.bench import figures, subjects
from jobs.bench.figures import Figure


def test_bounds() -> None:
    assert figures.at_least("a", 0.7, 0.7, 0, "b") == Figure("a", 0.7, 0, "b", ">= 0.7", holds=True)
    assert not figures.at_least("a", 0.69, 0.7, 0, "b").holds
    assert not figures.at_most("a", 0.21, 0.2, 0, "b").holds


def test_a_seed_decides_the_picture_whatever_the_model() -> None:
    photo = np.ascontiguousarray(subjects.photos(None)[2][:64, :64])
    (figure,) = figures.chance_figures(photo, ["steps=2"])
    assert figure.holds
    assert figure.beside > 0.5
