"""Pictures by a recipe, or by a changed one, for a benchmark: by the very class that converts."""

import functools

from pipeline.detectors.canny import Canny
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.images.arrays import Pixels
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings
from schemas.recipe import Recipe


def with_nets(name: str, scales: dict[str, float], *settings: str) -> Recipe:
    """Return a shipped recipe with some of its nets alone, at these scales, and other settings changed."""
    recipe = load_recipe(name, settings)
    kept = [control for control in recipe.controls if control.detector.name in scales]
    controls = [control.model_copy(update={"scale": scales[control.detector.name]}) for control in kept]
    return recipe.model_copy(update={"controls": tuple(controls)})


def canny_of(recipe: Recipe) -> Canny:
    """Return the recipe's edge detector, with the recipe's thresholds."""
    (settings,) = (each for each in recipe.detectors if isinstance(each, CannySettings))
    return Canny(settings)


def draw(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Return the picture of one photo by the recipe's own prompt."""
    loaded = _loaded(recipe.model_copy(update={"prompt": ""}).model_dump_json())  # whatever the words: one model
    (drawn,) = loaded.generate([GenerationRequest(photo, tuple(maps), recipe.prompt, recipe.negative_prompt, seed)])
    if drawn.pixels is None:
        message = f"recipe {recipe.name} drew a picture that is not finite, or of one colour"
        raise ArithmeticError(message)
    return drawn.pixels


@functools.lru_cache(maxsize=4)
def _loaded(recipe: str) -> ImageGenerator:
    return ImageGenerator(Recipe.model_validate_json(recipe))
