"""A recipe whose weights can be no others: the commits and digests of all that it names, written into its own file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.errors import ModelFault
from pipeline.models.checks import check_reference
from pipeline.models.requirements import Need, Place, detector_needs, needs_of
from pipeline.models.resolve import Located, locate, reference_digest
from pipeline.recipes.load import as_yaml, change, load_recipe, recipe_text
from schemas.recipe import Recipe

ADAPTER: Place = ("ip_adapter",)
REGION: Place = ("region", "detector")


@dataclass(frozen=True)
class Pin:
    """A model that was found, the places of the recipe that name it, and its digest."""

    located: Located
    places: tuple[Place, ...]
    sha256: str

    @property
    def keys(self) -> dict[str, str]:
        """The keys of a recipe that pin it. One that ships with the program, or lies in a folder, has no revision."""
        revision = {"revision": self.located.revision} if self.located.need.on_hub else {}
        return revision | {"sha256": self.sha256}


@dataclass(frozen=True)
class Pinned:
    """What a recipe names: what was found, and the detectors' weights that may be missing and are."""

    recipe: Recipe
    pins: tuple[Pin, ...]
    missing: tuple[Need, ...]
    reference_sha256: str | None

    @property
    def keys(self) -> dict[Place, dict[str, str]]:
        """The keys that pin all of it, by the place in the recipe."""
        keys = {place: each.keys for each in self.pins for place in each.places}
        if self.reference_sha256:
            keys[ADAPTER] = keys[ADAPTER] | {"reference_sha256": self.reference_sha256}
        return keys


def pin(name: str, settings: Iterable[str] = (), *, anew: bool = False) -> Pinned:
    """Find all that a recipe names, from the hub where need be; `anew`, whatever it was locked to before.

    Raises `RecipeFault`, and `ModelFault` for what is not to be had, or not what the recipe is locked to.
    """
    recipe = load_recipe(name, settings)
    if not anew:
        check_reference(recipe)
    pins = [_pin(locate(need), (need.place,), anew=anew) for need in needs_of(recipe)]
    missing = []
    for detector, need in detector_needs(recipe):
        # A recipe may name the region's detector twice, and must name the same then.
        again = (REGION,) if detector == recipe.region.detector and need.place != REGION else ()
        try:
            located = locate(need)
        except ModelFault:
            if detector.name not in recipe.may_be_blank:
                raise
            missing.append(need)
        else:
            pins.append(_pin(located, (need.place, *again), anew=anew))
    return Pinned(recipe, tuple(pins), tuple(missing), reference_digest(recipe))


def text_with(name: str, settings: Iterable[str], keys: dict[Place, dict[str, str]]) -> str:
    """Return the YAML of a recipe with these settings and keys changed; its comments and its order stay."""
    reader = YAML()  # which keeps comments and order
    reader.preserve_quotes = True
    tree = reader.load(recipe_text(name))
    for setting in settings:
        change(tree, setting)
    for place, changed in keys.items():
        _at(tree, place).update(changed)
    return as_yaml(tree)


def _pin(located: Located, places: tuple[Place, ...], *, anew: bool) -> Pin:
    return Pin(located, places, located.digest() if anew else located.checked_digest())


def _at(tree: Any, place: Place) -> Any:  # noqa: ANN401 - a tree of YAML
    """Return the mapping at a place, made where the recipe leaves it to its defaults."""
    for key in place:
        if isinstance(tree, dict) and not isinstance(tree.get(key), (dict, list)):
            tree[key] = CommentedMap()
        tree = tree[key]
    return tree
