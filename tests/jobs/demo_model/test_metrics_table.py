"""An ideal model passes all figures, and a model with a defect fails the figures that measure this defect."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from jobs.demo_model import eval_inputs, metrics, metrics_table
from jobs.demo_model.cartoon import cartoonize
from jobs.demo_model.metrics_table import Figure
from jobs.demo_model.scenes import SKIES
from schemas.recipe import Recipe

Pixels = np.ndarray
Generate = Callable[[Recipe, Pixels, list[Pixels], int], Pixels]
COLORS = {"night": (40, 60, 120), "sunset": (240, 150, 90), "": (230, 230, 225)}
EXCHANGED = {"night": "sunset", "sunset": "night"}


def ideal(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Compute an image without a network. It depends on the map, the prompt, the guidance and the seed as it should."""
    control = recipe.controls[0]
    control_map = maps[0] if control.scale else np.zeros_like(maps[0])
    if recipe.mode == "img2img":
        image = _cartoon(photo.tobytes(), photo.shape)
    elif control.detector.name == "depth":
        image = _from_depth(control_map[:, :, 0])
    else:
        image = np.full_like(control_map, next(color for word, color in COLORS.items() if word in recipe.prompt))
        is_pose = control.detector.name == "openpose"
        lines = metrics.dilate(control_map.any(axis=2), 7 if is_pose else 1)
        image[lines] = (200, 40, 60) if is_pose else (20, 20, 20)
    guidance_effect = np.uint8(4 if recipe.guidance == 1 else 0)
    return np.clip(image, 10, 240) + np.uint8(seed % 7) + guidance_effect


@functools.cache
def _cartoon(pixels: bytes, shape: tuple[int, ...]) -> Pixels:
    return cartoonize(np.frombuffer(pixels, np.uint8).reshape(shape))


def _from_depth(depth: np.ndarray) -> Pixels:
    image = np.full((*depth.shape, 3), (90, 130, 90), np.uint8)
    image[depth == 0], image[depth == 255] = SKIES[0], (150, 60, 50)
    image[metrics.depth_steps(depth)] = 20
    return image


def shifts_maps(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    return ideal(recipe, np.roll(photo, 12, axis=1), [np.roll(each, 12, axis=1) for each in maps], seed)


def inverts_depth(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    is_depth = recipe.controls[0].detector.name == "depth"
    return ideal(recipe, photo, [255 - each if is_depth else each for each in maps], seed)


def ignores_the_scale(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    controls = tuple(control.model_copy(update={"scale": 1.0}) for control in recipe.controls)
    return ideal(recipe.model_copy(update={"controls": controls}), photo, maps, seed)


def exchanges_palettes(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    words = ", ".join(EXCHANGED.get(word, word) for word in recipe.prompt.split(", "))
    return ideal(recipe.model_copy(update={"prompt": words}), photo, maps, seed)


def ignores_the_prompt_and_seed(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    del seed
    return ideal(recipe.model_copy(update={"prompt": "", "guidance": 4.0}), photo, maps, 1)


def copies_the_photo(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    return photo + np.uint8(seed) if recipe.mode == "img2img" else ideal(recipe, photo, maps, seed)


def is_random(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    is_random.calls = getattr(is_random, "calls", 0) + 1
    return ideal(recipe, photo, maps, seed + is_random.calls)


@pytest.fixture(scope="module")
def two_photos() -> list[Pixels]:
    return eval_inputs.evaluation_photos(None)[:2]


# Words in the names of the figures that measure edges, and of those that measure people and depth.
EDGES = "img2img: text2img: recipe darkness "
REGIONS = "openpose steps rim "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "failing"),
    [
        (ideal, ""),
        (copies_the_photo, "flat darkness"),
        (shifts_maps, EDGES + REGIONS),
        (inverts_depth, "skies"),
        (ignores_the_scale, "scale"),
        (exchanges_palettes, "yellower"),
        (ignores_the_prompt_and_seed, "`night` guidance another"),
        (is_random, "same"),
    ],
)
def test_a_model_fails_the_figures_that_measure_its_defect(
    model: Generate, failing: str, two_photos: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_table, "generate", model)
    monkeypatch.setattr(metrics_table, "PEOPLE", 1)
    monkeypatch.setattr(metrics_table, "DISCS", 2)
    figures = list(metrics_table.all_figures(two_photos, []))
    failed = [figure.name for figure in figures if not figure.passed]
    words = failing.split()  # each word is a part of the name of a figure
    assert [word for word in words if not any(word in name for name in failed)] == [], failed
    assert [name for name in failed if not any(word in name for word in words)] == []


def test_bounds_are_inclusive() -> None:
    require_minimum, require_maximum = metrics_table.require_minimum, metrics_table.require_maximum
    assert require_minimum("a", 0.7, 0.7, 0, "b") == Figure("a", 0.7, 0, "b", ">= 0.7", passed=True)
    assert not require_minimum("a", 0.69, 0.7, 0, "b").passed
    assert require_maximum("a", 0.2, 0.2, 0, "b") == Figure("a", 0.2, 0, "b", "<= 0.2", passed=True)
    assert not require_maximum("a", 0.21, 0.2, 0, "b").passed
