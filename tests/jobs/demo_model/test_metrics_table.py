"""Figures: a model that draws what it is asked for holds them all, and each mistake is found by its own figure."""

from collections.abc import Callable

import numpy as np
import pytest

from jobs.demo_model import eval_inputs, metrics, metrics_table
from jobs.demo_model.cartoon import cartoon
from jobs.demo_model.metrics_table import Figure
from jobs.demo_model.scenes import SKIES
from schemas.recipe import Recipe

Pixels = np.ndarray
Draw = Callable[[Recipe, Pixels, list[Pixels], int], Pixels]
BASES = {"night": (40, 60, 120), "sunset": (240, 150, 90), "": (230, 230, 225)}
EXCHANGED = {"night": "sunset", "sunset": "night"}


def ideal(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Draw exactly what is asked for, without a network."""
    control = recipe.controls[0]
    asked = maps[0] if control.scale else np.zeros_like(maps[0])
    if recipe.mode == "img2img":
        drawn = cartoon(photo)
    elif control.detector.name == "depth":
        drawn = _of_depth(asked[:, :, 0])
    else:
        base = next(color for word, color in BASES.items() if word in recipe.prompt)
        drawn = np.full_like(asked, base)
        people = control.detector.name == "openpose"
        lines = metrics.grown(asked.any(axis=2), 7 if people else 1)
        drawn[lines] = (200, 40, 60) if people else (20, 20, 20)
    weak = np.uint8(4 if recipe.guidance == 1 else 0)
    return np.clip(drawn, 10, 240) + np.uint8(seed % 7) + weak


def _of_depth(depth: np.ndarray) -> Pixels:
    drawn = np.full((*depth.shape, 3), (90, 130, 90), np.uint8)
    drawn[depth == 0], drawn[depth == 255] = SKIES[0], (150, 60, 50)
    drawn[metrics.jumps(depth)] = 20
    return drawn


def blank(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    del recipe, maps, seed
    return np.full_like(photo, 128)


def copying(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    return photo + np.uint8(seed) if recipe.mode == "img2img" else ideal(recipe, photo, maps, seed)


def changed(maps_of: Callable[[Pixels], Pixels]) -> Draw:
    """Return a model whose maps are changed before it sees them."""

    def draw(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
        return ideal(recipe, maps_of(photo), [maps_of(each) for each in maps], seed)

    return draw


def upside_down(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Draw what is near as if it were far."""
    near_is_far = recipe.controls[0].detector.name == "depth"
    return ideal(recipe, photo, [255 - each if near_is_far else each for each in maps], seed)


def by_the_corner(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Take what is as near as the picture's corner for the sky, be it near or far."""
    far = recipe.controls[0].detector.name != "depth" or maps[0][0, 0, 0] == 0
    return ideal(recipe, photo, maps if far else [255 - each for each in maps], seed)


def somewhere(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Draw someone where anyone may stand, whatever the skeleton."""
    anyone = recipe.controls[0].detector.name == "openpose" and maps[0].any()
    blob = np.zeros_like(photo)
    blob[60:250, 70:190] = 255
    return ideal(recipe, photo, [blob] if anyone else maps, seed)


def exchanging(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    words = ", ".join(EXCHANGED.get(word, word) for word in recipe.prompt.split(", "))
    return ideal(recipe.model_copy(update={"prompt": words}), photo, maps, seed)


def fickle(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Take other colours for any word more."""
    more = {"prompt": recipe.prompt.replace(", clean", ", night") if recipe.prompt.endswith("clean") else recipe.prompt}
    return ideal(recipe.model_copy(update=more), photo, maps, seed)


def always_on(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    controls = tuple(control.model_copy(update={"scale": 1.0}) for control in recipe.controls)
    return ideal(recipe.model_copy(update={"controls": controls}), photo, maps, seed)


def deaf(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    return ideal(recipe.model_copy(update={"prompt": "", "guidance": 4.0}), photo, maps, seed)


def stubborn(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    del seed
    return ideal(recipe, photo, maps, 1)


def restless(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    restless.calls = getattr(restless, "calls", 0) + 1
    return ideal(recipe, photo, maps, seed + restless.calls)


@pytest.fixture(scope="module")
def three() -> list[Pixels]:
    """Return three photos."""
    return eval_inputs.photos(None)[:3]


EDGES = "img2img text2img: recipe darker "
PLACES = "person shifted jumps rim "
MAPS = EDGES + PLACES + "sky "


@pytest.mark.parametrize(
    ("model", "not_held"),
    [
        pytest.param(ideal, "", id="ideal"),
        pytest.param(blank, MAPS + "night guidance another", id="blank"),
        pytest.param(copying, "flat darker", id="copies the photo"),
        pytest.param(changed(np.zeros_like), MAPS, id="sees neither photo nor map"),
        pytest.param(changed(lambda pixels: np.roll(pixels, 12, axis=1)), EDGES + PLACES, id="sees them shifted"),
        pytest.param(upside_down, "sky", id="near is far"),
        pytest.param(always_on, "scale", id="nets always on"),
        pytest.param(by_the_corner, "sky", id="far is the corner"),
        pytest.param(somewhere, "person shifted", id="person anywhere"),
        pytest.param(exchanging, "yellower", id="palettes exchanged"),
        pytest.param(fickle, "apart", id="any word counts"),
        pytest.param(deaf, "night guidance", id="deaf"),
        pytest.param(stubborn, "another", id="one seed"),
        pytest.param(restless, "same", id="no seed"),
    ],
)
def test_each_mistake_is_found(
    model: Draw, not_held: str, three: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_table, "draw", model)
    monkeypatch.setattr(metrics_table, "PEOPLE", 2)
    monkeypatch.setattr(metrics_table, "DISCS", 2)
    made = list(metrics_table.all_figures(three, []))
    missed = [figure.what for figure in made if not figure.holds]
    words = not_held.split()
    assert [word for word in words if not any(word in what for what in missed)] == [], missed
    assert [what for what in missed if not any(word in what for word in words)] == []


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore")
def test_the_shipped_model_puts_people_on_skeletons_and_draws_what_is_near_in_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_table, "PEOPLE", 2)
    monkeypatch.setattr(metrics_table, "DISCS", 2)
    made = [*metrics_table.openpose_figures([]), *metrics_table.depth_figures([])]
    assert [figure for figure in made if not figure.holds] == []


def test_bounds() -> None:
    assert metrics_table.at_least("a", 0.7, 0.7, 0, "b") == Figure("a", 0.7, 0, "b", ">= 0.7", holds=True)
    assert not metrics_table.at_least("a", 0.69, 0.7, 0, "b").holds
    assert not metrics_table.at_most("a", 0.21, 0.2, 0, "b").holds
