"""Measure whether images of the demo model follow control maps, look like cartoons, and depend on words and seeds.

Each measured value has a bound that it must meet, and a baseline.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo_model import eval_inputs, metrics, scenes
from jobs.demo_model.eval_generate import canny_detector, generate, recipe_with_controlnets
from pipeline.images.arrays import Pixels
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe

PEOPLE = 6
DISCS = 6
SKY_DISTANCE = 5.0  # in CIE Lab: the smallest bound for `_sky_color_difference`
PALETTE_DISTANCE = 15.0  # in CIE Lab, between `night` and `sunset`; 2.3 is just noticeable
FLATTEST = 2 / 3  # photos with a larger share of flat pixels are left out, because no image could be 1.5 times as flat


@dataclass(frozen=True)
class Figure:
    """A measured value with its bound, and a baseline, such as the value with the control map of another image."""

    name: str
    value: float
    baseline: float
    baseline_name: str
    bound: str  # such as `>= 0.7`
    passed: bool


def require_minimum(name: str, value: float, minimum: float, baseline: float, baseline_name: str) -> Figure:
    """Return a figure that passes if its value is at least `minimum`."""
    return Figure(name, value, baseline, baseline_name, f">= {minimum:.3g}", value >= minimum)


def require_maximum(name: str, value: float, maximum: float, baseline: float, baseline_name: str) -> Figure:
    """Return a figure that passes if its value is at most `maximum`."""
    return Figure(name, value, baseline, baseline_name, f"<= {maximum:g}", value <= maximum)


def all_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Measure the demo model, which takes minutes of one core.

    Args:
        photos: At least two photos of SIDE x SIDE pixels.
        settings: Changes of the recipes, `key=value` as for `--set`.

    Yields:
        The figures, one by one.
    """
    yield from canny_figures(photos, settings)
    yield from recipe_figures(photos, settings)
    yield from openpose_figures(settings)
    yield from depth_figures(settings)
    yield from word_figures(photos, settings)
    yield from seed_figures(photos[0], settings)


def canny_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Measure images of the canny ControlNet alone: their edges, their style, and the effect of scale 0."""
    recipe = recipe_with_controlnets("demo", {"canny": 1.0}, *settings)
    maps = [canny_detector(recipe)(photo) for photo in photos]
    images = _generate_all(recipe, photos, maps)
    yield _edge_agreement("canny, img2img", images, maps)
    yield from style_figures(photos, maps, images)
    text2img = recipe_with_controlnets("demo-text2img", {"canny": 1.0}, *settings)
    yield _edge_agreement("canny, text2img", _generate_all(text2img, photos, maps), maps)
    switched_off = recipe_with_controlnets("demo-text2img", {"canny": 0.0}, *settings)
    own, other = _edge_scores(_generate_all(switched_off, photos, maps), maps)
    yield require_maximum(
        "canny, text2img, scale 0: edge agreement over chance",
        _mean_over_chance(own, other), 0.2, _mean(own), "F1 with its own map",
    )  # fmt: skip


def recipe_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Measure the edges of images by the recipes of the demo model, with blank maps for openpose and depth."""
    for name in ("demo", "demo-text2img"):
        recipe = load_recipe(name, settings)
        maps = [canny_detector(recipe)(photo) for photo in photos]
        yield _edge_agreement(f"recipe {name}, blank pose and depth", _generate_all(recipe, photos, maps), maps)


def style_figures(photos: list[Pixels], maps: list[Pixels], images: list[Pixels]) -> Iterator[Figure]:
    """Measure whether images have flat areas and dark lines, compared with their photos."""
    flat, photo_flat = (np.array([metrics.flat_share(each) for each in pixels]) for pixels in (images, photos))
    measurable = photo_flat < FLATTEST
    if measurable.any():
        ratios = np.maximum(flat, 1e-3) / np.maximum(photo_flat, 1e-3)
        geometric_mean = float(np.exp(np.log(ratios)[measurable].mean()))
        name = f"style: flat pixels, relative to the photo, {measurable.sum()} photos"
        yield require_minimum(name, geometric_mean, 1.5, float(photo_flat[measurable].mean()), "share in the photo")
    dark, photo_dark = (
        _mean([metrics.line_darkness(each, _map_edges(control)) for each, control in zip(pixels, maps, strict=True)])
        for pixels in (images, photos)
    )
    yield require_minimum("style: darkness of lines", dark, 1.5 * photo_dark, photo_dark, "darkness in the photo")


def openpose_figures(settings: list[str]) -> Iterator[Figure]:
    """Measure whether a person appears at the skeleton, and moves with it."""
    recipe = recipe_with_controlnets("demo-text2img", {"openpose": 1.0}, *settings)
    scores, baselines, shifted_scores = [], [], []
    for number in range(PEOPLE):
        original, shifted = eval_inputs.person_maps(number)
        empty = _generate_from_map(recipe, np.zeros_like(original.pose), number)
        found, found_shifted = (
            metrics.changed_region(_generate_from_map(recipe, each.pose, number), empty) for each in (original, shifted)
        )
        scores.append(metrics.intersection_over_union(found, original.body))
        baselines.append(metrics.intersection_over_union(found, shifted.body))
        shifted_scores.append(metrics.intersection_over_union(found_shifted, shifted.body))
    baseline = _mean(baselines)
    minimum = max(0.5, 2 * baseline)
    yield require_minimum(
        "openpose alone: IoU of generated person and expected body",
        _mean(scores), minimum, baseline, "IoU of unshifted person and shifted body",
    )  # fmt: skip
    yield require_minimum(
        "openpose alone, shifted: IoU of generated person and expected body",
        _mean(shifted_scores), minimum, baseline, "IoU of unshifted person and shifted body",
    )  # fmt: skip


def depth_figures(settings: list[str]) -> Iterator[Figure]:
    """Measure whether images have edges at steps of depth, and whether near objects cover far ones."""
    recipe = recipe_with_controlnets("demo-text2img", {"depth": 1.0}, *settings)
    inputs = [eval_inputs.disc_map(number) for number in range(DISCS)]
    images = [_generate_from_map(recipe, each.depth, number) for number, each in enumerate(inputs)]
    edges = [metrics.edges(image) for image in images]
    yield from _depth_edge_figures(edges, inputs)
    inverted = [_generate_from_map(recipe, 255 - each.depth, number) for number, each in enumerate(inputs)]
    right, wrong = (
        _mean([_sky_color_difference(*pair) for pair in zip(pixels, inputs, strict=True)])
        for pixels in (images, inverted)
    )
    name = "depth alone: colour distance from the training skies, near disc minus background, CIE Lab"
    yield require_minimum(name, right, SKY_DISTANCE + max(0, wrong), wrong, "with an inverted map")


def _depth_edge_figures(edges: list[NDArray[np.bool_]], inputs: list[eval_inputs.DiscMap]) -> Iterator[Figure]:
    """Compare the edges of images with the steps of their depth maps, and with the rims of the discs."""
    steps = [metrics.depth_steps(each.depth[:, :, 0]) for each in inputs]
    own, other = _scores_with_own_and_next(edges, steps)
    yield require_minimum(
        "depth alone: F1 of edges and steps of depth", _mean(own), 0.5, _mean(other), "F1 with another map"
    )
    visible = _mean([_share_with_edge(found, each.visible_rim) for found, each in zip(edges, inputs, strict=True)])
    hidden = _mean([_share_with_edge(found, each.hidden_rim) for found, each in zip(edges, inputs, strict=True)])
    yield require_minimum(
        "depth alone: share of the visible rim with an edge",
        visible, max(0.5, 2 * hidden), hidden, "share of the hidden rim",
    )  # fmt: skip


def _sky_color_difference(image: Pixels, discs: eval_inputs.DiscMap) -> float:
    """Return the distance of the near disc's colour from the reference colour, minus that of the background's colour.

    Distances are in CIE Lab. The reference colour is the mean of `scenes.SKIES`.
    """
    sky = metrics.mean_color(np.array([scenes.SKIES], np.uint8))
    near, far = (metrics.mean_color(image[None, mask]) for mask in (discs.near, discs.background))
    return float(np.linalg.norm(near - sky) - np.linalg.norm(far - sky))


def word_figures(photos: list[Pixels], settings: list[str]) -> Iterator[Figure]:
    """Measure the effect of two palette words and of the guidance scale."""
    recipe = recipe_with_controlnets("demo-text2img", {"canny": 1.0}, *settings)
    maps = [canny_detector(recipe)(photo) for photo in photos]
    prompts = {word: f"{recipe.prompt}, {word}" for word in ("night", "sunset", "clean")} | {"": recipe.prompt}
    colors = {
        word: np.mean(
            [metrics.mean_color(image) for image in _generate_all(_with_prompt(recipe, prompt), photos, maps)], 0
        )
        for word, prompt in prompts.items()
    }  # [3] each, CIE Lab
    palettes, no_effect = colors["sunset"] - colors["night"], colors["clean"] - colors[""]
    distance, baseline = float(np.linalg.norm(palettes)), float(np.linalg.norm(no_effect))
    minimum = max(PALETTE_DISTANCE, 2 * baseline)
    name = "`night` and `sunset`: distance of mean colours, CIE Lab"
    redundant = "effect of `clean`, which the prompt contains already"
    yield require_minimum(name, distance, minimum, baseline, redundant)
    yield require_minimum(
        "`sunset` yellower than `night`, CIE b", float(palettes[2]), 5.0, float(no_effect[2]), redundant
    )
    yield _guidance_figure(_with_prompt(recipe, prompts["night"]), photos[0], maps[0])


def _guidance_figure(recipe: Recipe, photo: Pixels, control: Pixels) -> Figure:
    weak, strong, again = (
        _generate_all(recipe.model_copy(update={"guidance": guidance}), [photo], [control])[0]
        for guidance in (1.0, 4.0, 4.0)
    )
    difference, baseline = _mean_difference(weak, strong), _mean_difference(again, strong)
    return require_minimum(
        "guidance 1 and 4: mean difference of values, 0..255", difference, 1.0, baseline, "guidance 4 twice"
    )


def _with_prompt(recipe: Recipe, prompt: str) -> Recipe:
    return recipe.model_copy(update={"prompt": prompt})


def seed_figures(photo: Pixels, settings: list[str]) -> Iterator[Figure]:
    """Measure whether an image is reproducible, and whether another seed changes it."""
    recipe = recipe_with_controlnets("demo", {"canny": 1.0}, *settings)
    control = canny_detector(recipe)(photo)
    first, same, other = (generate(recipe, photo, [control], seed=seed) for seed in (1, 1, 2))
    repeated, different = float((first != same).mean()), float((first != other).mean())
    yield require_maximum("same seed: share of different values", repeated, 0.0, different, "another seed")
    yield require_minimum("another seed: share of different values", different, 0.5, repeated, "same seed")


def _generate_all(recipe: Recipe, photos: list[Pixels], maps: list[Pixels]) -> list[Pixels]:
    """Generate an image of each photo with its number as the seed, and blank maps for all but the first ControlNet."""
    blank = [np.zeros_like(photos[0])] * (len(recipe.controls) - 1)
    pairs = zip(photos, maps, strict=True)
    return [generate(recipe, photo, [control, *blank], seed=number) for number, (photo, control) in enumerate(pairs)]


def _generate_from_map(recipe: Recipe, control: Pixels, seed: int) -> Pixels:
    return generate(recipe, np.zeros_like(control), [control], seed=seed)


def _edge_agreement(name: str, images: list[Pixels], maps: list[Pixels]) -> Figure:
    own, other = _edge_scores(images, maps)
    value = _mean_over_chance(own, other)
    return require_minimum(f"{name}: edge agreement over chance", value, 0.7, _mean(other), "F1 with another map")


def _edge_scores(images: list[Pixels], maps: list[Pixels]) -> tuple[list[float], list[float]]:
    """Return the F1 scores of the images' edges with their own control maps, and with those of the next photo."""
    return _scores_with_own_and_next([metrics.edges(image) for image in images], [_map_edges(each) for each in maps])


def _scores_with_own_and_next(
    edges: list[NDArray[np.bool_]], expected: list[NDArray[np.bool_]]
) -> tuple[list[float], list[float]]:
    own = [metrics.edge_f1(found, mask) for found, mask in zip(edges, expected, strict=True)]
    other = [metrics.edge_f1(found, mask) for found, mask in zip(edges, [*expected[1:], expected[0]], strict=True)]
    return own, other


def _map_edges(control: Pixels) -> NDArray[np.bool_]:
    edges: NDArray[np.bool_] = control[:, :, 0] > 0
    return edges


def _mean_over_chance(own: list[float], other: list[float]) -> float:
    return _mean([metrics.over_chance(score, chance) for score, chance in zip(own, other, strict=True)])


def _share_with_edge(edges: NDArray[np.bool_], rim: NDArray[np.bool_]) -> float:
    """Return the share of a rim's pixels that have an edge within TOLERANCE pixels."""
    return float((metrics.dilate(edges, metrics.TOLERANCE) & rim).sum() / max(1, rim.sum()))


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
