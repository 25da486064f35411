"""Copy the models of a recipe, and a recipe that names the copies, to a folder or bucket for runs without internet."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pipeline import storage
from pipeline.models.lock import ADAPTER, LockedRecipe, edit_recipe_text
from pipeline.models.requirements import ConfigPath
from pipeline.models.resolve import LocatedModel
from pipeline.storage.transfer import upload

SHIPPED = "builtin:"  # the prefix of models that are installed with the program


def mirror_models(
    name: str, settings: Iterable[str], locked: LockedRecipe, to: str, on_copy: Callable[[str], None]
) -> str:
    """Copy the models of a recipe. Complete copies of an earlier call are reused.

    The recipe is written last, so its existence shows that all models are complete.

    Args:
        name: The name or file of the recipe.
        settings: `key=value` settings that change the recipe.
        locked: The result of `lock_models` for this recipe and these settings.
        to: The target folder or bucket address.
        on_copy: Called with the label of each model before it is copied.

    Returns:
        The address of the recipe that names the copies.

    Raises:
        StorageError: A file cannot be read or written.
    """
    root = storage.absolute(to)
    keys = locked.keys
    for pin in locked.pins:
        if pin.located.requirement.name.startswith(SHIPPED):
            continue
        label = pin.located.label()
        on_copy(label)
        folder = storage.join(root, label)
        _copy_model(pin.located, folder)
        keys |= {path: keys[path] | {_location_key(path): folder} for path in pin.config_paths}
    reference = locked.recipe.ip_adapter.reference if locked.recipe.ip_adapter else None
    if reference:
        keys[ADAPTER] = keys[ADAPTER] | {"reference": _copy_reference(reference, root)}
    recipe = storage.join(root, f"{locked.recipe.name}.yaml")
    storage.put(recipe, edit_recipe_text(name, settings, keys).encode())
    return recipe


def _copy_reference(uri: str, root: str) -> str:
    """Copy a reference image to a file named by its digest, and return the address of the copy."""
    content = storage.read(uri)
    copy = storage.join(root, "references", f"{hashlib.sha256(content).hexdigest()[:16]}{PurePosixPath(uri).suffix}")
    storage.put(copy, content)
    return copy


def _location_key(path: ConfigPath) -> str:
    """Return the key that locates a model in its part of the recipe: `weights` for a detector, `name` for others."""
    return "weights" if path[-1] == "detector" else "name"


def _copy_model(located: LocatedModel, folder: str) -> None:
    """Copy the files of a model, except those that exist in the same size.

    The size suffices, since the name of the folder contains the commit or digest of the files.
    """
    sizes = {name: info["size"] for name, info in storage.files(folder).items()}
    for path in located.files:
        name = path.relative_to(located.folder).as_posix()
        if sizes.get(name) != path.stat().st_size:
            upload(path, storage.join(folder, name))
