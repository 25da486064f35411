"""Pictures by a recipe, or by a changed one, for a benchmark: by the very class that converts."""

import functools
from typing import Any

from pipeline.detectors import Pixels
from pipeline.diffusion import Diffusion
from pipeline.recipes import load_recipe
from schemas.recipe import Recipe


def with_nets(name: str, scales: dict[str, float], *settings: str) -> Recipe:
    """Return a shipped recipe with some of its nets alone, at these scales, and other settings changed."""
    recipe = load_recipe(name, settings)
    kept = [control for control in recipe.controls if control.detector.name in scales]
    controls = [control.model_copy(update={"scale": scales[control.detector.name]}) for control in kept]
    return recipe.model_copy(update={"controls": tuple(controls)})


def draw(recipe: Recipe, photo: Pixels, maps: list[Pixels], **changes: Any) -> Pixels:  # noqa: ANN401  # a prompt or a seed
    """Return the picture of one photo; `prompt` and `seed` may be given."""
    prompts = [(changes.get("prompt", recipe.prompt), recipe.negative_prompt)]
    pictures, finite = _loaded(recipe.model_dump_json()).draw(
        photo[None], [each[None] for each in maps], prompts, [changes.get("seed", 1)]
    )
    if not all(finite):
        message = f"recipe {recipe.name} drew a picture that is not finite"
        raise ArithmeticError(message)
    picture: Pixels = pictures[0]
    return picture


@functools.lru_cache(maxsize=4)
def _loaded(recipe: str) -> Diffusion:
    return Diffusion(Recipe.model_validate_json(recipe))
