"""All that a recipe loads, copied to one folder or bucket, with a recipe that names it there: runs need no internet."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pipeline import storage
from pipeline.models.lock import ADAPTER, LockedRecipe, edit_recipe_text
from pipeline.models.requirements import ConfigPath
from pipeline.models.resolve import LocatedModel
from pipeline.storage.transfer import upload

SHIPPED = "builtin:"  # is wherever the program is


def mirror_models(
    name: str, settings: Iterable[str], pinned: LockedRecipe, to: str, told: Callable[[str], None]
) -> str:
    """Copy what was found to `to`, what is there already aside; return the address of the recipe that names it there.

    `told` hears of every model that is copied. The recipe is put last: where it is, all is. Raises `StorageError`.
    """
    root = storage.absolute(to)
    keys = pinned.keys
    for pin in pinned.pins:
        if pin.located.requirement.name.startswith(SHIPPED):
            continue
        label = pin.located.label()
        told(label)
        folder = storage.join(root, label)
        _copy(pin.located, folder)
        keys |= {place: keys[place] | {_called(place): folder} for place in pin.places}
    reference = pinned.recipe.ip_adapter.reference if pinned.recipe.ip_adapter else None
    if reference:
        keys[ADAPTER] = keys[ADAPTER] | {"reference": _copy_picture(reference, root)}
    recipe = storage.join(root, f"{pinned.recipe.name}.yaml")
    storage.put(recipe, edit_recipe_text(name, settings, keys).encode())
    return recipe


def _copy_picture(uri: str, root: str) -> str:
    """Copy a reference picture, named after what it holds; return its new address."""
    content = storage.read(uri)
    copied = storage.join(root, "references", f"{hashlib.sha256(content).hexdigest()[:16]}{PurePosixPath(uri).suffix}")
    storage.put(copied, content)
    return copied


def _called(place: ConfigPath) -> str:
    """Return the key that says at a place where a model is."""
    return "weights" if place[-1] == "detector" else "name"


def _copy(located: LocatedModel, folder: str) -> None:
    """Copy a model's files, those aside that are there at their size: the folder's name tells what they hold."""
    there = {name: info["size"] for name, info in storage.files(folder).items()}
    for path in located.files:
        name = path.relative_to(located.folder).as_posix()
        if there.get(name) != path.stat().st_size:
            upload(path, storage.join(folder, name))
