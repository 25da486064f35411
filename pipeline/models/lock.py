"""Lock a recipe: write the commits and digests of its models into its file, so that no other weights are used."""

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
    """A located model, the parts of the recipe that name it, and its digest."""

    located: LocatedModel
    config_paths: tuple[ConfigPath, ...]
    sha256: str

    @property
    def keys(self) -> dict[str, str]:
        """The settings that pin the model: its digest, and for a model of the hub its revision."""
        revision = {"revision": self.located.revision} if self.located.requirement.on_hub else {}
        return revision | {"sha256": self.sha256}


@dataclass(frozen=True)
class LockedRecipe:
    """The models of a recipe.

    Attributes:
        recipe: The recipe before locking.
        pins: The models that were located.
        missing: The models of detectors whose weights are missing, and whose maps may be blank.
        reference_sha256: The digest of the reference image, if the recipe has one.
    """

    recipe: Recipe
    pins: tuple[LockedModel, ...]
    missing: tuple[ModelRequirement, ...]
    reference_sha256: str | None

    @property
    def keys(self) -> dict[ConfigPath, dict[str, str]]:
        """The settings that pin the located models, by the path of the part of the recipe that they belong to."""
        keys = {path: pin.keys for pin in self.pins for path in pin.config_paths}
        if self.reference_sha256:
            keys[ADAPTER] = keys[ADAPTER] | {"reference_sha256": self.reference_sha256}
        return keys


def lock_models(name: str, settings: Iterable[str] = (), *, ignore_lock: bool = False) -> LockedRecipe:
    """Locate all models of a recipe, downloading them if necessary, and compute their digests.

    Args:
        name: The name or file of the recipe.
        settings: `key=value` settings that change the recipe.
        ignore_lock: Accept weights that differ from those that the recipe is already locked to.

    Raises:
        RecipeError: The recipe or a setting is invalid.
        ModelNotFoundError: A model is missing, other than that of a detector whose maps may be blank.
        ModelDigestError: The recipe is locked to other weights.
    """
    recipe = load_recipe(name, settings)
    if not ignore_lock:
        check_reference(recipe)
    models = [
        _lock(locate(requirement), (requirement.config_path,), relock=ignore_lock)
        for requirement in model_requirements(recipe)
    ]
    missing = []
    for detector, requirement in detector_requirements(recipe):
        # The region may use the same detector as the control `seg`. Then both parts of the recipe get the same pin.
        shared = detector == recipe.region.detector and requirement.config_path != REGION
        paths = (requirement.config_path, *((REGION,) if shared else ()))
        try:
            located = locate(requirement)
        except ModelError:
            if detector.name not in recipe.may_be_blank:
                raise
            missing.append(requirement)
        else:
            models.append(_lock(located, paths, relock=ignore_lock))
    return LockedRecipe(recipe, tuple(models), tuple(missing), reference_digest(recipe))


def edit_recipe_text(name: str, settings: Iterable[str], keys: dict[ConfigPath, dict[str, str]]) -> str:
    """Return the YAML of a recipe with changed settings, preserving its comments and the order of its keys.

    Args:
        name: The name or file of the recipe.
        settings: `key=value` settings to apply first.
        keys: Further settings, by the path of the part of the recipe that they belong to.
    """
    yaml = YAML()  # the default loader preserves comments and order
    yaml.preserve_quotes = True
    tree = yaml.load(recipe_text(name))
    for setting in settings:
        apply_setting(tree, setting)
    for path, values in keys.items():
        _mapping_at(tree, path).update(values)
    return to_yaml(tree)


def _lock(located: LocatedModel, paths: tuple[ConfigPath, ...], *, relock: bool) -> LockedModel:
    return LockedModel(located, paths, located.digest() if relock else located.checked_digest())


def _mapping_at(tree: Any, path: ConfigPath) -> Any:  # noqa: ANN401 - a YAML tree
    """Return the mapping at a path. Mappings that the recipe omits are added to the tree."""
    for key in path:
        if isinstance(tree, dict) and not isinstance(tree.get(key), (dict, list)):
            tree[key] = CommentedMap()
        tree = tree[key]
    return tree
