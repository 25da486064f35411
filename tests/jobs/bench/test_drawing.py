"""Changed recipes for a benchmark."""

import numpy as np

from jobs.bench.drawing import draw, with_nets


def test_nets_alone_and_switched_off() -> None:
    recipe = with_nets("demo-text2img", {"depth": 0.0}, "steps=3")
    assert [(control.detector.name, control.scale) for control in recipe.controls] == [("depth", 0.0)]
    assert (recipe.mode, recipe.steps) == ("text2img", 3)


def test_a_seed_is_a_picture() -> None:
    recipe = with_nets("demo-text2img", {"canny": 1.0}, "steps=1")
    nothing = np.zeros((64, 64, 3), np.uint8)
    one, same, other = (draw(recipe, nothing, [nothing], seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
