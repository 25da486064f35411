"""A recipe whose weights can be no others: the commits and digests of all that it names, written into its own file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.errors import ModelError
from pipeline.models.checks import check_reference
from pipeline.models.requirements import ConfigPath, ModelRequirement, detector_requirements, model_requirements
from pipeline.models.resolve import LocatedModel, locate, reference_digest
from pipeline.recipes.load import apply_setting, load_recipe, recipe_text, to_yaml
from schemas.recipe import Recipe

ADAPTER: ConfigPath = ("ip_adapter",)
REGION: ConfigPath = ("region", "detector")


@dataclass(frozen=True)
class LockedModel:
    """A model that was found, the places of the recipe that name it, and its digest."""

    located: LocatedModel
    places: tuple[ConfigPath, ...]
    sha256: str

    @property
    def keys(self) -> dict[str, str]:
        """The keys of a recipe that pin it. One that ships with the program, or lies in a folder, has no revision."""
        revision = {"revision": self.located.revision} if self.located.requirement.on_hub else {}
        return revision | {"sha256": self.sha256}


@dataclass(frozen=True)
class LockedRecipe:
    """What a recipe names: what was found, and the detectors' weights that may be missing and are."""

    recipe: Recipe
    pins: tuple[LockedModel, ...]
    missing: tuple[ModelRequirement, ...]
    reference_sha256: str | None

    @property
    def keys(self) -> dict[ConfigPath, dict[str, str]]:
        """The keys that pin all of it, by the place in the recipe."""
        keys = {place: each.keys for each in self.pins for place in each.places}
        if self.reference_sha256:
            keys[ADAPTER] = keys[ADAPTER] | {"reference_sha256": self.reference_sha256}
        return keys


def lock_models(name: str, settings: Iterable[str] = (), *, anew: bool = False) -> LockedRecipe:
    """Find all that a recipe names, from the hub where need be; `anew`, whatever it was locked to before.

    Raises `RecipeError`, and `ModelError` for what is not to be had, or not what the recipe is locked to.
    """
    recipe = load_recipe(name, settings)
    if not anew:
        check_reference(recipe)
    pins = [_pin(locate(need), (need.config_path,), anew=anew) for need in model_requirements(recipe)]
    missing = []
    for detector, need in detector_requirements(recipe):
        # A recipe may name the region's detector twice, and must name the same then.
        again = (REGION,) if detector == recipe.region.detector and need.config_path != REGION else ()
        try:
            located = locate(need)
        except ModelError:
            if detector.name not in recipe.may_be_blank:
                raise
            missing.append(need)
        else:
            pins.append(_pin(located, (need.config_path, *again), anew=anew))
    return LockedRecipe(recipe, tuple(pins), tuple(missing), reference_digest(recipe))


def edit_recipe_text(name: str, settings: Iterable[str], keys: dict[ConfigPath, dict[str, str]]) -> str:
    """Return the YAML of a recipe with these settings and keys changed; its comments and its order stay."""
    reader = YAML()  # which keeps comments and order
    reader.preserve_quotes = True
    tree = reader.load(recipe_text(name))
    for setting in settings:
        apply_setting(tree, setting)
    for place, changed in keys.items():
        _at(tree, place).update(changed)
    return to_yaml(tree)


def _pin(located: LocatedModel, places: tuple[ConfigPath, ...], *, anew: bool) -> LockedModel:
    return LockedModel(located, places, located.digest() if anew else located.checked_digest())


def _at(tree: Any, place: ConfigPath) -> Any:  # noqa: ANN401 - a tree of YAML
    """Return the mapping at a place, made where the recipe leaves it to its defaults."""
    for key in place:
        if isinstance(tree, dict) and not isinstance(tree.get(key), (dict, list)):
            tree[key] = CommentedMap()
        tree = tree[key]
    return tree
