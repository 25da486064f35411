"""Changed recipes for a benchmark."""

import numpy as np

from jobs.demo_model.eval_generate import canny_of, draw, with_nets


def test_nets_alone_and_switched_off() -> None:
    recipe = with_nets("demo-text2img", {"depth": 0.0}, "steps=3")
    assert [(control.detector.name, control.scale) for control in recipe.controls] == [("depth", 0.0)]
    assert (recipe.mode, recipe.steps) == ("text2img", 3)


def test_a_seed_is_a_picture_and_so_is_a_prompt() -> None:
    recipe = with_nets("demo-text2img", {"canny": 1.0}, "steps=1")
    nothing = np.zeros((64, 64, 3), np.uint8)
    one, same, other = (draw(recipe, nothing, [nothing], seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert (one != draw(recipe.model_copy(update={"prompt": "night"}), nothing, [nothing], seed=1)).any()


def test_the_detector_is_the_recipes() -> None:
    photo = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    few = canny_of(
        with_nets("demo", {"canny": 1.0}, "controls.canny.detector.low=900", "controls.canny.detector.high=999")
    )
    assert few(photo).sum() < canny_of(with_nets("demo", {"canny": 1.0}))(photo).sum()
