"""Generate images for the evaluation of the demo model, with the `ImageGenerator` of `photo2anime convert`."""

import functools

from pipeline.detectors.canny import Canny
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.errors import RunStoppedError
from pipeline.images.arrays import Pixels
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings
from schemas.recipe import Recipe


def recipe_with_controlnets(name: str, scales: dict[str, float], *settings: str) -> Recipe:
    """Load a recipe, and keep only some of its ControlNets.

    Args:
        name: The name of a shipped recipe.
        scales: The new scale of each ControlNet to keep, by the name of its detector.
        settings: Other changes of the recipe, in the syntax of `--set`: `key=value`.
    """
    recipe = load_recipe(name, settings)
    selected = [control for control in recipe.controls if control.detector.name in scales]
    controls = [control.model_copy(update={"scale": scales[control.detector.name]}) for control in selected]
    return recipe.model_copy(update={"controls": tuple(controls)})


def canny_detector(recipe: Recipe) -> Canny:
    """Return the Canny detector of a recipe, with the recipe's thresholds."""
    (canny,) = (settings for settings in recipe.detectors if isinstance(settings, CannySettings))
    return Canny(canny)


def generate(recipe: Recipe, photo: Pixels, maps: list[Pixels], seed: int) -> Pixels:
    """Generate the image of one photo with the recipe's prompt.

    Raises:
        RunStoppedError: The image is not finite, or has a single colour.
    """
    # The request has the prompt, so recipes that differ only in their prompt share a generator.
    generator = _generator(recipe.model_copy(update={"prompt": ""}).model_dump_json())
    (image,) = generator.generate([GenerationRequest(photo, tuple(maps), recipe.prompt, recipe.negative_prompt, seed)])
    if image.pixels is None:
        raise RunStoppedError(f"recipe {recipe.name}: the image of seed {seed} is not finite, or has a single colour")
    return image.pixels


@functools.lru_cache(maxsize=4)
def _generator(recipe: str) -> ImageGenerator:
    return ImageGenerator(Recipe.model_validate_json(recipe))
