"""The demo model's figures: does each net hold its drawing, are the drawings drawn, do words and seeds count?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo_model import eval_inputs, metrics, scenes
from jobs.demo_model.eval_generate import canny_of, draw, with_nets
from pipeline.images.arrays import Pixels
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe

PEOPLE = 6
DISCS = 6
SKY_DISTANCE = 5.0  # of CIE Lab
PALETTE_DISTANCE = 15.0  # of CIE Lab between `night` and `sunset`; 2.3 is just noticeable
FLATTEST = 2 / 3  # share of flat pixels above which a photo cannot become 1.5 times as flat


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and the same with the control shuffled, shifted or switched off."""

    what: str
    value: float
    beside: float
    beside_what: str
    wanted: str
    holds: bool


def at_least(what: str, value: float, least: float, beside: float, beside_what: str) -> Figure:
    """Return the figure of something that should not be small."""
    return Figure(what, value, beside, beside_what, f">= {least:.3g}", value >= least)


def at_most(what: str, value: float, most: float, beside: float, beside_what: str) -> Figure:
    """Return the figure of something that should not be large."""
    return Figure(what, value, beside, beside_what, f"<= {most:g}", value <= most)


def all_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield the figures one by one: minutes of one core. `settings` change the recipes, as `--set` does."""
    yield from photo_figures(photos, settings)
    yield from shipped_figures(photos, settings)
    yield from openpose_figures(settings)
    yield from depth_figures(settings)
    yield from word_figures(photos, settings)
    yield from chance_figures(photos[0], settings)


def photo_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield how well drawings of photos by the canny net alone keep their edges, and whether they are drawn."""
    recipe = with_nets("demo", {"canny": 1.0}, *settings)
    maps = [canny_of(recipe)(photo) for photo in photos]
    drawings = _draw_all(recipe, photos, maps)
    yield _agreement("canny, img2img", drawings, maps)
    yield from drawn_figures(photos, maps, drawings)
    of_maps = _draw_all(with_nets("demo-text2img", {"canny": 1.0}, *settings), photos, maps)
    yield _agreement("canny, text2img", of_maps, maps)
    own, other = _edge_scores(_draw_all(with_nets("demo-text2img", {"canny": 0.0}, *settings), photos, maps), maps)
    yield at_most("canny, text2img, net at scale 0", _over(own, other), 0.2, _mean(own), "F1 with its own map")


def shipped_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield whether the recipes as they ship, with nothing to see for two of their nets, keep edges as well."""
    for name in ("demo", "demo-text2img"):
        recipe = load_recipe(name, settings)
        maps = [canny_of(recipe)(photo) for photo in photos]
        yield _agreement(f"recipe {name}, pose and depth blank", _draw_all(recipe, photos, maps), maps)


def drawn_figures(photos: list[Pixels], maps: list[Pixels], drawings: list[Pixels]) -> Iterator[Figure]:
    """Yield whether drawings are flat where photos are not, with dark lines along their edges."""
    flat, before = (np.array([metrics.flat_share(each) for each in pictures]) for pictures in (drawings, photos))
    able = before < FLATTEST
    if able.any():
        times = np.exp(np.log(np.maximum(flat, 1e-3) / np.maximum(before, 1e-3))[able].mean())  # geometric: of ratios
        what = f"drawn: share of flat pixels, times the photo's, of {able.sum()} photos"
        yield at_least(what, float(times), 1.5, float(before[able].mean()), "the photo's share")
    dark, lit = (
        _mean([metrics.line_darkness(each, _edges(control)) for each, control in zip(pictures, maps, strict=True)])
        for pictures in (drawings, photos)
    )
    yield at_least("drawn: edges darker than both sides, share of lightness", dark, 1.5 * lit, lit, "the photo's")


def openpose_figures(settings: list[str]) -> Iterator[Figure]:
    """Yield how well a person stands where the skeleton is, and whether they move with it."""
    recipe = with_nets("demo-text2img", {"openpose": 1.0}, *settings)
    scores, elsewhere, moved = [], [], []
    for number in range(PEOPLE):
        here, there = eval_inputs.standing(number)
        nobody = _of_map(recipe, np.zeros_like(here.pose), number)
        found, found_there = (metrics.changed(_of_map(recipe, each.pose, number), nobody) for each in (here, there))
        scores.append(metrics.intersection_over_union(found, here.covered))
        elsewhere.append(metrics.intersection_over_union(found, there.covered))
        moved.append(metrics.intersection_over_union(found_there, there.covered))
    least, beside = max(0.5, 2 * _mean(elsewhere)), _mean(elsewhere)
    yield at_least(
        "openpose alone: person over its capsules, IoU", _mean(scores), least, beside, "IoU with shifted capsules"
    )
    yield at_least("openpose alone, skeleton shifted", _mean(moved), least, beside, "IoU of the one not shifted")


def depth_figures(settings: list[str]) -> Iterator[Figure]:
    """Yield whether drawings have edges where depth jumps, and whether what is nearer covers what is farther."""
    recipe = with_nets("demo-text2img", {"depth": 1.0}, *settings)
    asked = [eval_inputs.discs(number) for number in range(DISCS)]
    drawings = [_of_map(recipe, each.depth, number) for number, each in enumerate(asked)]
    drawn = [metrics.edges(drawing) for drawing in drawings]
    steps = [metrics.jumps(each.depth[:, :, 0]) for each in asked]
    own = [metrics.edge_f1(edges, step) for edges, step in zip(drawn, steps, strict=True)]
    other = [metrics.edge_f1(edges, step) for edges, step in zip(drawn, [*steps[1:], steps[0]], strict=True)]
    yield at_least("depth alone: edges on its jumps, F1", _mean(own), 0.5, _mean(other), "F1 with another's map")
    front = _mean([_covered(edges, each.in_front) for edges, each in zip(drawn, asked, strict=True)])
    hidden = _mean([_covered(edges, each.hidden) for edges, each in zip(drawn, asked, strict=True)])
    yield at_least(
        "depth alone: the nearer one's rim, drawn", front, max(0.5, 2 * hidden), hidden, "rim hidden behind it"
    )
    turned = [_of_map(recipe, 255 - each.depth, number) for number, each in enumerate(asked)]
    right, wrong = (
        _mean([_near_to_sky(*pair) for pair in zip(pictures, asked, strict=True)]) for pictures in (drawings, turned)
    )
    what = "depth alone: sky's colour nearer to the far than to the near, CIE Lab"
    yield at_least(what, right, SKY_DISTANCE + max(0, wrong), wrong, "with near and far exchanged")


def _near_to_sky(drawing: Pixels, asked: eval_inputs.Discs) -> float:
    """Return how much more the nearer disc's colour differs from the sky's than that of what lies behind."""
    sky = metrics.mean_color(np.array([scenes.SKIES], np.uint8))
    near, far = (metrics.mean_color(drawing[None, mask]) for mask in (asked.nearer, asked.sky))
    return float(np.linalg.norm(near - sky) - np.linalg.norm(far - sky))


def word_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield how far apart two palettes are, and that guidance counts."""
    recipe = with_nets("demo-text2img", {"canny": 1.0}, *settings)
    maps = [canny_of(recipe)(photo) for photo in photos]
    prompts = {word: f"{recipe.prompt}, {word}" for word in ("night", "sunset", "clean")} | {"": recipe.prompt}
    colors = {
        word: np.mean([metrics.mean_color(drawing) for drawing in _draw_all(_saying(recipe, prompt), photos, maps)], 0)
        for word, prompt in prompts.items()
    }  # [3] each, CIE Lab
    palettes, nothing_new = colors["sunset"] - colors["night"], colors["clean"] - colors[""]
    of_nothing, beside = float(np.linalg.norm(nothing_new)), "for a word that says nothing new"
    yield at_least(
        "`night` and `sunset`: mean colours apart, CIE Lab",
        float(np.linalg.norm(palettes)),
        max(PALETTE_DISTANCE, 2 * of_nothing),
        of_nothing,
        beside,
    )
    yield at_least("`sunset` yellower than `night`, CIE b", float(palettes[2]), 5.0, float(nothing_new[2]), beside)
    weak, strong, again = (
        _draw_all(_saying(recipe, prompts["night"], guidance=guidance), photos[:1], maps[:1])[0]
        for guidance in (1.0, 4.0, 4.0)
    )
    apart, same = _difference(weak, strong), _difference(again, strong)
    yield at_least("guidance 1 and 4: mean difference, of 255", apart, 1.0, same, "4 and 4 again")


def _saying(recipe: Recipe, prompt: str, **changes: float) -> Recipe:
    return recipe.model_copy(update={"prompt": prompt, **changes})


def chance_figures(photo: Pixels, settings: list[str]) -> Iterator[Figure]:
    """Yield that a seed decides the picture to the bit, and that another seed makes another one."""
    recipe = with_nets("demo", {"canny": 1.0}, *settings)
    control = canny_of(recipe)(photo)
    first, same, other = (draw(recipe, photo, [control], seed=seed) for seed in (1, 1, 2))
    again, different = float((first != same).mean()), float((first != other).mean())
    yield at_most("the same seed: share of values that differ", again, 0.0, different, "another seed")
    yield at_least("another seed: share of values that differ", different, 0.5, again, "the same seed")


def _draw_all(recipe: Recipe, photos: list[Pixels], maps: list[Pixels]) -> list[Pixels]:
    """Return a drawing of each photo, each of another seed; the nets after the recipe's first see nothing."""
    blank = [np.zeros_like(photos[0])] * (len(recipe.controls) - 1)
    pairs = zip(photos, maps, strict=True)
    return [draw(recipe, photo, [control, *blank], seed=number) for number, (photo, control) in enumerate(pairs)]


def _agreement(what: str, drawings: list[Pixels], maps: list[Pixels]) -> Figure:
    """Return the drawings' agreement with their own maps, over what they agree with another photo's by chance."""
    own, other = _edge_scores(drawings, maps)
    return at_least(
        f"{what}: edge agreement over chance", _over(own, other), 0.7, _mean(other), "F1 with another's map"
    )


def _edge_scores(drawings: list[Pixels], maps: list[Pixels]) -> tuple[list[float], list[float]]:
    """Return the F1 of each drawing's edges with its photo's map, and with the next photo's."""
    wanted = [_edges(control) for control in maps]
    drawn = [metrics.edges(drawing) for drawing in drawings]
    own = [metrics.edge_f1(edges, mask) for edges, mask in zip(drawn, wanted, strict=True)]
    other = [metrics.edge_f1(edges, mask) for edges, mask in zip(drawn, [*wanted[1:], wanted[0]], strict=True)]
    return own, other


def _edges(control: Pixels) -> NDArray[np.bool_]:
    edges: NDArray[np.bool_] = control[:, :, 0] > 0
    return edges


def _over(own: list[float], other: list[float]) -> float:
    return _mean([metrics.over_chance(mine, chance) for mine, chance in zip(own, other, strict=True)])


def _of_map(recipe: Recipe, control: Pixels, seed: int) -> Pixels:
    return draw(recipe, np.zeros_like(control), [control], seed=seed)


def _covered(edges: NDArray[np.bool_], rim: NDArray[np.bool_]) -> float:
    """Return the share of a rim that has an edge within two pixels."""
    return float((metrics.grown(edges, metrics.TOLERANCE) & rim).sum() / max(1, rim.sum()))


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
