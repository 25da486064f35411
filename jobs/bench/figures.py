"""The demo model's figures: does each net hold its drawing, are the drawings drawn, do words and seeds count?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.bench import measures, subjects
from jobs.bench.drawing import draw, with_nets
from pipeline.detectors.canny import Canny
from schemas.detectors import CannySettings
from schemas.recipe import Recipe

PEOPLE = 6
DISCS = 6
PALETTE_DISTANCE = 15.0  # of CIE Lab between `night` and `sunset`; 2.3 is just noticeable

Pixels = NDArray[np.uint8]
"""[H, W, 3], RGB, 0..255."""


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
    return Figure(what, value, beside, beside_what, f">= {least:g}", value >= least)


def at_most(what: str, value: float, most: float, beside: float, beside_what: str) -> Figure:
    """Return the figure of something that should not be large."""
    return Figure(what, value, beside, beside_what, f"<= {most:g}", value <= most)


def all_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield the figures one by one: minutes of one core. `settings` change the recipes, as `--set` does."""
    yield from canny_figures(photos, settings)
    yield from openpose_figures(settings)
    yield from depth_figures(settings)
    yield from drawn_figures(photos, settings)
    yield from word_figures(photos[0], settings)
    yield from chance_figures(photos[0], settings)


def canny_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield the agreement of drawings with their photos' edges, over what they agree with another photo's by chance."""
    maps = [Canny(CannySettings(name="canny"))(photo) for photo in photos]
    for what, name, scale in (("img2img", "demo", 1.0), ("text2img", "demo-text2img", 1.0)):
        own, other = _edge_scores(with_nets(name, {"canny": scale}, *settings), photos, maps)
        yield at_least(
            f"canny, {what}: edge agreement over chance",
            _over(own, other),
            0.7,
            _mean(other),
            "F1 with another's map",
        )
        if name == "demo-text2img":
            off, by_chance = _edge_scores(with_nets(name, {"canny": 0.0}, *settings), photos, maps)
            yield at_most(
                "canny, text2img, net at scale 0", _over(off, by_chance), 0.2, _mean(off), "F1 with its own map"
            )


def openpose_figures(settings: list[str]) -> Iterator[Figure]:
    """Yield how well a person stands where the skeleton is, and whether they move with it."""
    recipe = with_nets("demo-text2img", {"openpose": 1.0}, *settings)
    scores, elsewhere, moved = [], [], []
    for number in range(PEOPLE):
        here, there = subjects.standing(number)
        nobody = _of_map(recipe, np.zeros_like(here.pose), number)
        found, found_there = (measures.changed(_of_map(recipe, each.pose, number), nobody) for each in (here, there))
        scores.append(measures.intersection_over_union(found, here.covered))
        elsewhere.append(measures.intersection_over_union(found, there.covered))
        moved.append(measures.intersection_over_union(found_there, there.covered))
    yield at_least(
        "openpose alone: person over its capsules, IoU",
        _mean(scores),
        0.5,
        _mean(elsewhere),
        "IoU with shifted capsules",
    )
    yield at_least(
        "openpose alone, skeleton shifted", _mean(moved), 0.5, _mean(elsewhere), "IoU of the one not shifted"
    )


def depth_figures(settings: list[str]) -> Iterator[Figure]:
    """Yield whether drawings have edges where depth jumps, and whether what is nearer covers what is farther."""
    recipe = with_nets("demo-text2img", {"depth": 1.0}, *settings)
    asked = [subjects.discs(number) for number in range(DISCS)]
    drawn = [measures.edges(_of_map(recipe, each.depth, number)) for number, each in enumerate(asked)]
    steps = [measures.jumps(each.depth[:, :, 0]) for each in asked]
    own = [measures.edge_f1(edges, step) for edges, step in zip(drawn, steps, strict=True)]
    other = [measures.edge_f1(edges, step) for edges, step in zip(drawn, [*steps[1:], steps[0]], strict=True)]
    yield at_least("depth alone: edges on its jumps, F1", _mean(own), 0.5, _mean(other), "F1 with another's map")
    front, hidden = (
        [_covered(edges, getattr(each, rim)) for edges, each in zip(drawn, asked, strict=True)]
        for rim in ("in_front", "hidden")
    )
    yield at_least(
        "depth alone: rim of the nearer disc that is drawn",
        _mean(front),
        2 * _mean(hidden),
        _mean(hidden),
        "rim hidden behind it",
    )


def drawn_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Yield whether the drawings are flat where photos are not, with dark lines along their edges."""
    recipe = with_nets("demo", {"canny": 1.0}, *settings)
    maps = [Canny(CannySettings(name="canny"))(photo) for photo in photos]
    drawings = [draw(recipe, photo, [control]) for photo, control in zip(photos, maps, strict=True)]
    flat, before = (_mean([measures.flat_share(each) for each in pictures]) for pictures in (drawings, photos))
    yield at_least("drawn: share of flat pixels, times the photo's", flat / before, 1.5, before, "the photo's share")
    dark, before = (
        _mean(
            [measures.line_darkness(each, control[:, :, 0] > 0) for each, control in zip(pictures, maps, strict=True)]
        )
        for pictures in (drawings, photos)
    )
    yield at_least("drawn: edges darker than what is around, of 255", dark, before, before, "the photo's")


def word_figures(photo: Pixels, settings: list[str]) -> Iterator[Figure]:
    """Yield how far apart two palettes are, and that guidance counts."""
    recipe = with_nets("demo-text2img", {"canny": 1.0}, *settings)
    control = Canny(CannySettings(name="canny"))(photo)
    colors = {
        word: measures.mean_color(
            draw(recipe, photo, [control], prompt=f"{recipe.prompt}, {word}" if word else recipe.prompt)
        )
        for word in ("night", "sunset", "clean", "")
    }
    distance = float(np.linalg.norm(colors["night"] - colors["sunset"]))
    nothing = float(np.linalg.norm(colors["clean"] - colors[""]))
    yield at_least(
        "`night` and `sunset`: mean colours apart, CIE Lab",
        distance,
        PALETTE_DISTANCE,
        nothing,
        "for a word that says nothing new",
    )
    weak, strong = (
        draw(recipe.model_copy(update={"guidance": guidance}), photo, [control], prompt=f"{recipe.prompt}, night")
        for guidance in (1.0, 4.0)
    )
    again = draw(recipe.model_copy(update={"guidance": 4.0}), photo, [control], prompt=f"{recipe.prompt}, night")
    yield at_least(
        "guidance 1 and 4: mean difference, of 255",
        _difference(weak, strong),
        1.0,
        _difference(again, strong),
        "4 and 4 again",
    )


def chance_figures(photo: Pixels, settings: list[str]) -> Iterator[Figure]:
    """Yield that a seed decides the picture to the bit, and another seed another one."""
    recipe = with_nets("demo", {"canny": 1.0}, *settings)
    control = Canny(CannySettings(name="canny"))(photo)
    first, same, other = (draw(recipe, photo, [control], seed=seed) for seed in (1, 1, 2))
    different = float((first != other).mean())
    yield at_most(
        "the same seed: share of values that differ", float((first != same).mean()), 0.0, different, "another seed"
    )


def _edge_scores(recipe: Recipe, photos: list[Pixels], maps: list[Pixels]) -> tuple[list[float], list[float]]:
    """Return the F1 of each drawing's edges with its photo's map, and with the next photo's."""
    wanted = [control[:, :, 0] > 0 for control in maps]
    drawn = [measures.edges(draw(recipe, photo, [control])) for photo, control in zip(photos, maps, strict=True)]
    own = [measures.edge_f1(edges, mask) for edges, mask in zip(drawn, wanted, strict=True)]
    other = [measures.edge_f1(edges, mask) for edges, mask in zip(drawn, [*wanted[1:], wanted[0]], strict=True)]
    return own, other


def _over(own: list[float], other: list[float]) -> float:
    return _mean([measures.over_chance(mine, chance) for mine, chance in zip(own, other, strict=True)])


def _of_map(recipe: Recipe, control: Pixels, seed: int) -> Pixels:
    return draw(recipe, np.zeros_like(control), [control], seed=seed)


def _covered(edges: NDArray[np.bool_], rim: NDArray[np.bool_]) -> float:
    """Return the share of a rim that has an edge within two pixels."""
    return float((measures.grown(edges, measures.TOLERANCE) & rim).sum() / max(1, rim.sum()))


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
