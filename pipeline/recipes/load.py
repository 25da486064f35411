"""Recipes: the shipped ones by name, any other by file, with settings changed one by one."""

import difflib
import io
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import storage
from pipeline.errors import RecipeError
from schemas.recipe import Recipe

_SHIPPED = files("pipeline.recipes").joinpath("shipped")
_NO_MAPPING = ("model_type", "model_attributes_type", "dict_type")
TEXTS = ("prompt", "negative_prompt")  # are taken as they stand: YAML would read {a|b}, # and : otherwise
_QUOTED = re.compile(r"'([^']+)'")


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with the program."""
    found = (entry.name for entry in _SHIPPED.iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """Return the YAML of a shipped recipe or of a recipe file. Raises `RecipeError`."""
    if name in shipped_recipes():
        return _SHIPPED.joinpath(f"{name}.yaml").read_text()
    if name.endswith((".yaml", ".yml")):
        if not storage.exists(name):
            message = f"recipe {storage.redact(name)}: no such file"
            raise RecipeError(message, "Check the address.")
        return storage.read(name).decode()
    near = difflib.get_close_matches(name, shipped_recipes(), 1)
    message = f"there is no recipe {name!r}" + (f" (is {near[0]} meant?)" if near else "")
    raise RecipeError(message, f"There are {', '.join(shipped_recipes())}, or name a file that ends in .yaml.")


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Return a recipe by name or file, changed by `key=value` settings such as `steps=8` or `controls.depth.scale=0.5`.

    A control is named by its detector or its number. Raises `RecipeError`.
    """
    try:
        tree = YAML(typ="safe").load(recipe_text(name))  # which refuses a key that stands twice
    except (YAMLError, UnicodeDecodeError) as error:
        said = str(error).partition("To suppress")[0]  # what a programmer would do about a key that stands twice
        message = f"recipe {storage.redact(name)} is no YAML ({said.strip()})"
        raise RecipeError(message, "Mend the file.") from error
    if not isinstance(tree, dict):
        message = f"recipe {storage.redact(name)} holds no settings"
        raise RecipeError(message, "Look at one with photo2anime recipes show demo.")
    for setting in settings:
        apply_setting(tree, setting)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise _fault(name, error) from error


def to_yaml(tree: dict[str, Any]) -> str:
    """Return a recipe's tree as the YAML that `load_recipe` reads."""
    writer, buffer = YAML(), io.StringIO()
    writer.width = 4096  # a long prompt stays on its line
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(tree, buffer)
    return buffer.getvalue()


def apply_setting(tree: dict[str, Any], setting: str) -> None:
    """Change a recipe's tree by one `key=value`. Raises `RecipeError`."""
    key, equals, value = setting.partition("=")
    if not equals:
        message = f"--set {setting}: no = in it"
        raise RecipeError(message, "Write key=value, such as --set steps=8.")
    *path, last = key.strip().split(".")
    place: Any = tree
    for part in path:
        place = _step_into(place, part, setting)
    if not isinstance(place, dict):
        message = f"--set {setting}: {'.'.join(path)} holds no settings"
        raise RecipeError(message, "See the keys with photo2anime recipes show NAME.")
    try:
        place[last] = value if last in TEXTS and not _is_quoted(value) else YAML(typ="safe").load(value)
    except YAMLError as error:
        message = f"--set {setting}: {value!r} is no YAML value"
        raise RecipeError(message, "Quote it.") from error


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _step_into(place: Any, part: str, setting: str) -> Any:  # noqa: ANN401 - a tree of YAML
    if isinstance(place, dict):
        return place.setdefault(part, {})  # an unknown key is found by the recipe's own check
    if isinstance(place, list):
        named = {_detector(entry): entry for entry in place} | {str(i): entry for i, entry in enumerate(place)}
        if part in named:
            return named[part]
        message = f"--set {setting}: there is no control {part!r}"
        raise RecipeError(message, f"There are {', '.join(_detector(entry) for entry in place)}.")
    message = f"--set {setting}: {part!r} is not in the recipe"
    raise RecipeError(message, "See the keys with photo2anime recipes show NAME.")


def _detector(entry: Any) -> str:  # noqa: ANN401 - a tree of YAML
    detector = entry.get("detector") if isinstance(entry, dict) else None
    return str(detector.get("name")) if isinstance(detector, dict) else "?"


def _fault(name: str, error: ValidationError) -> RecipeError:
    """Say the first thing that is wrong, what was meant, and how many more there are."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        said, mend = "is no key of a recipe", "See the keys with photo2anime recipes show demo."
        meant = difflib.get_close_matches(str(first["loc"][-1]), _keys(Recipe), 1)
    else:
        said, mend = first["msg"].removeprefix("Value error, "), ""
        if first["type"] in _NO_MAPPING:
            mend = f"It has keys of its own: write {where}.name=…, or {{name: …}}."
        given = _given(first)
        meant = difflib.get_close_matches(given, [name for name in _QUOTED.findall(first["msg"]) if name != given], 1)
    at = f"{where}: " if first["loc"] else ""
    return RecipeError(f"recipe {storage.redact(name)}: {at}{said}{more}", f"Is {meant[0]} meant?" if meant else mend)


def _given(first: Any) -> str:  # noqa: ANN401 - pydantic's details of one error
    """Return the name that somebody wrote where one of several was expected."""
    given = first["ctx"].get("tag", first["input"]) if "ctx" in first else first["input"]
    return str(given)


def _keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a recipe's tree, without where they stand."""
    keys = list(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += _keys(part)
    return keys
