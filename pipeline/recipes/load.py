"""Load recipes by the name of a shipped recipe or the address of a file, and apply `--set` settings."""

import difflib
import io
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from pipeline import storage
from pipeline.errors import (
    RecipeError,
    RecipeNotFoundError,
    RecipeSettingError,
    RecipeSyntaxError,
    RunStoppedError,
    shorten,
)
from schemas.recipe import Recipe

MOST_VALUES = 10_000  # of a recipe, whose largest part is a list of ControlNets or LoRAs
_SHOWN = 200  # characters of a setting in a message
_SHIPPED = files("pipeline.recipes").joinpath("shipped")
_MAPPING_EXPECTED = ("model_type", "model_attributes_type", "dict_type")  # error types of pydantic
NO_DETECTOR = "?"  # what `_detector_name` returns for an entry without a detector, such as one of `loras`
# The values of these keys in --set are plain text unless quoted, because {a|b}, # and : have a meaning in YAML.
_TEXT_KEYS = ("prompt", "negative_prompt")
_QUOTED = re.compile(r"'([^']+)'")


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that are installed with the program."""
    names = (entry.name for entry in _SHIPPED.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """Return the YAML of a recipe.

    Raises:
        RecipeNotFoundError: No recipe has this name, or the file is missing.
    """
    if name in shipped_recipes():
        return _SHIPPED.joinpath(f"{name}.yaml").read_text()
    if name.endswith((".yaml", ".yml")):
        if not storage.exists(name):
            raise RecipeNotFoundError(f"recipe {storage.redact(name)}: file not found", "Check the address.")
        return storage.read(name).decode()
    raise RecipeNotFoundError(
        f"recipe {storage.redact(name)!r}: not found{_suggestion(name, shipped_recipes())}",
        f"Choose one of {', '.join(shipped_recipes())}, or name a file that ends in .yaml.",
    )


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Load and validate a recipe.

    Args:
        name: The name of a shipped recipe, or the address of a YAML file.
        settings: `key=value` settings that change the recipe, such as `steps=8` or `controls.depth.scale=0.5`. A
            control is selected by its detector or its index.

    Raises:
        RecipeNotFoundError: The recipe is missing.
        RecipeSyntaxError: The file is not valid YAML.
        RecipeSettingError: A setting has an invalid syntax or path.
        RecipeError: The recipe, or the value of a setting, is invalid.
    """
    try:
        tree = _parse_yaml(recipe_text(name))
    except ValueError as error:
        raise RecipeSyntaxError(f"recipe {storage.redact(name)}: invalid YAML ({error})") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"recipe {storage.redact(name)}: not a mapping of settings")
    for setting in settings:
        apply_setting(tree, setting)
    if _count_values(tree, {}) > MOST_VALUES:
        raise RecipeError(f"recipe {storage.redact(name)}: more than {MOST_VALUES} values, counting aliases as copies")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise _recipe_error(name, error) from error


def _parse_yaml(text: str) -> Any:  # noqa: ANN401 - a YAML tree
    """Parse YAML, and reject duplicate keys. Raises `ValueError` if the text or one of its values is invalid."""
    try:
        return YAML(typ="safe").load(text)
    except RunStoppedError:  # of a signal
        raise
    except Exception as error:  # for values such as `2001-99-99`, ruamel raises errors of several classes
        reason = str(error).partition("To suppress")[0].strip()  # omits ruamel's advice on duplicate keys
        raise ValueError(reason or type(error).__name__) from error


def _count_values(tree: Any, counted: dict[int, int]) -> int:  # noqa: ANN401 - a YAML tree
    """Count the values of a tree in which each alias is a copy.

    Ten aliases of ten aliases and so on are a short text, but more values than a machine can validate. A value that
    contains itself counts as too many.
    """
    if not isinstance(tree, dict | list):
        return 1
    if id(tree) not in counted:
        counted[id(tree)] = MOST_VALUES + 1  # until its own values are counted
        values = tree.values() if isinstance(tree, dict) else tree
        counted[id(tree)] = 1 + sum(_count_values(value, counted) for value in values)
    return counted[id(tree)]


def to_yaml(tree: dict[str, Any]) -> str:
    """Return the YAML of a recipe, as `load_recipe` reads it."""
    yaml, buffer = YAML(), io.StringIO()
    yaml.width = 4096  # avoids line breaks in long prompts
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(tree, buffer)
    return buffer.getvalue()


def apply_setting(tree: dict[str, Any], setting: str) -> None:
    """Change one key of a recipe.

    Args:
        tree: The recipe, which is modified.
        setting: `key=value`, where the key is a path such as `controls.depth.scale`.

    Raises:
        RecipeSettingError: The setting has no `=`, the path names an unknown control or continues below a plain
            value (`steps.x=1`), or the value is not valid YAML. The validation rejects other unknown keys later.
    """
    key, equals, value = setting.partition("=")
    shown = shorten(storage.redact_message(setting), _SHOWN)
    if not equals:
        raise RecipeSettingError(f"--set {shown}: '=' is missing")
    *path, last = key.strip().split(".")
    parent: Any = tree
    for part in path:
        parent = _child(parent, part, shown)
    if not isinstance(parent, dict):
        raise RecipeSettingError(f"--set {shown}: {'.'.join(path)} is not a mapping of settings", RecipeError.hint)
    try:
        parent[last] = value if last in _TEXT_KEYS and not _is_quoted(value) else _parse_yaml(value)
    except ValueError as error:
        problem = f"{shorten(storage.redact_message(value), _SHOWN)!r} is not a YAML value"
        raise RecipeSettingError(f"--set {shown}: {problem}", "Quote the value.") from error


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _child(parent: Any, part: str, setting: str) -> Any:  # noqa: ANN401 - a YAML tree
    """Return the value of a key of a mapping, or the entry of a list with this index or detector."""
    if isinstance(parent, dict):
        return parent.setdefault(part, {})  # the validation of the recipe rejects unknown keys
    if isinstance(parent, list):
        entries = {_detector_name(entry): entry for entry in parent} | {str(i): entry for i, entry in enumerate(parent)}
        if part in entries:
            return entries[part]
        names = ", ".join(name for name in entries if name != NO_DETECTOR)
        raise RecipeSettingError(f"--set {setting}: unknown entry {part!r}", f"Choose one of {names}.")
    raise RecipeSettingError(f"--set {setting}: unknown setting {part!r}", RecipeError.hint)


def _detector_name(control: Any) -> str:  # noqa: ANN401 - a YAML tree
    detector = control.get("detector") if isinstance(control, dict) else None
    return str(detector.get("name")) if isinstance(detector, dict) else NO_DETECTOR


def _recipe_error(name: str, error: ValidationError) -> RecipeError:
    """Convert the first error of a `ValidationError`, with a suggestion for a misspelled name."""
    first, count = error.errors()[0], error.error_count()
    key = ".".join(str(part) for part in first["loc"])
    hint = None
    if first["type"] == "extra_forbidden":
        problem, suggestion = "unknown setting", _suggestion(str(first["loc"][-1]), _keys(Recipe))
    else:
        value = _input_name(first)
        expected = [choice for choice in _QUOTED.findall(first["msg"]) if choice != value]
        problem, suggestion = first["msg"].removeprefix("Value error, "), _suggestion(value, expected)
    if first["type"] in _MAPPING_EXPECTED:
        hint = f"Set one of its keys, such as {key}.name=…, or write {{name: …}}."
    location = f"{key}: " if key else ""
    more = f" (and {count - 1} more)" if count > 1 else ""
    return RecipeError(f"recipe {storage.redact(name)}: {location}{problem}{suggestion}{more}", hint)


def _input_name(details: ErrorDetails) -> str:
    """Return the invalid input, or the `name` of an unknown detector, which pydantic uses as a discriminator."""
    return str(details.get("ctx", {}).get("tag", details["input"]))


def _suggestion(name: str, names: list[str]) -> str:
    similar = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def _keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of all parts of a recipe, without their paths."""
    keys = list(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += _keys(part)
    return keys
