"""Read and write the run file of an output, which identifies the output and describes its last run.

`_run.json` contains the metadata and the recipe of the last run. `_recipes/` contains the recipes of all runs on this
output, named by the first 16 digits of their digests. Of recipes with one digest, it has the last.
"""

import json
import logging
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.errors import (
    DamagedOutputError,
    NotAnOutputError,
    Photo2AnimeError,
    RecipeChangedError,
    RecipeError,
    RunStoppedError,
    describe_exception,
)
from pipeline.output.lease import check_lease
from pipeline.recipes.load import load_recipe, to_yaml
from schemas.recipe import SETTINGS_NOT_IN_DIGEST, Recipe

LOGGER = logging.getLogger("photo2anime.output")

RUN_FILE = "_run.json"
RECIPES = "_recipes"
RUNNING, FINISHED, STOPPED = "running", "finished", "stopped"  # the status of the last run; a killed run is running
OUTPUT_FOLDERS = ("_plan", "images", "maps", "masks", "provenance")
_LONGEST_STOP = 10.0  # seconds after which the end of a run no longer waits for the storage
_DIGITS = 16  # hexadecimal digits of the digest in the name of a recipe's file
_REDACTED = b"# This recipe has another digest than the name of its file, because credentials were removed.\n"
_REQUIRED: dict[str, type] = {"run_id": str, "status": str, "recipe_digest": str, "recipe": dict}


@dataclass(frozen=True)
class RunMetadata:
    """The provenance that all rows of a run share.

    Attributes:
        run_id: The identifier of the run, unique across outputs.
        recipe: The recipe of the run.
        project_version: The version of photo2anime.
        git_commit: The commit of photo2anime, or None if it is unknown.
    """

    run_id: str
    recipe: Recipe
    project_version: str
    git_commit: str | None


def read_run_file(output: str) -> dict[str, Any] | None:
    """Read the metadata of the last run on an output.

    Returns:
        The content of `_run.json`, or None if the output is new.

    Raises:
        DamagedOutputError: If `_run.json` is not valid JSON, or metadata is missing or invalid.
        NotAnOutputError: If `_run.json` has no `recipe_digest`, or is missing in a folder that has `OUTPUT_FOLDERS`.
    """
    uri = storage.join(output, RUN_FILE)
    if not storage.exists(uri):
        for name in OUTPUT_FOLDERS:
            if storage.exists(storage.join(output, name)):
                raise NotAnOutputError(f"{storage.redact(output)}: contains {name!r}, but {RUN_FILE} is missing")
        return None
    try:
        metadata = json.loads(storage.read(uri))
    except ValueError as error:
        hint = "Restore the file, or choose another output."
        raise DamagedOutputError(f"{storage.redact(uri)}: invalid JSON ({error})", hint) from error
    if not isinstance(metadata, dict) or "recipe_digest" not in metadata:
        raise NotAnOutputError(f"{storage.redact(uri)}: not written by photo2anime")
    for name, kind in _REQUIRED.items():
        if not isinstance(metadata.get(name), kind):
            hint = "Restore the file, or choose another output."
            raise DamagedOutputError(f"{storage.redact(uri)}: {name!r} is missing or invalid", hint)
    return metadata


def check_output(output: str) -> None:
    """Check that a folder is an output.

    Raises:
        NotAnOutputError: The folder does not exist, or was not written by photo2anime.
        DamagedOutputError: The run file cannot be read.
    """
    if read_run_file(output) is None:
        hint = "Name the folder that convert wrote to."
        raise NotAnOutputError(f"{storage.redact(output)}: {RUN_FILE} is missing", hint)


def check_recipe(output: str, metadata: dict[str, Any] | None, recipe: Recipe, *, reconvert: bool) -> None:
    """Check that an output belongs to a recipe.

    Args:
        output: The address of the output.
        metadata: The content of its run file, or None if the output is new.
        recipe: The recipe of the new run.
        reconvert: Whether to accept another recipe, which converts all photos again.

    Raises:
        RecipeChangedError: If the output belongs to another recipe and `reconvert` is false.
    """
    if metadata is None or reconvert or metadata["recipe_digest"] == recipe.digest:
        return
    changes = _changed_settings(metadata["recipe"], storage.redact_all(recipe.model_dump(mode="json")))
    name, digest = metadata["recipe"].get("name"), metadata["recipe_digest"]
    raise RecipeChangedError(
        f"{storage.redact(output)}: belongs to recipe {name!r} {digest[:12]},"
        f" not to {recipe.name!r} {recipe.digest[:12]}; they differ in {', '.join(changes)}"
    )


def write_run_file(output: str, run: RunMetadata, status: dict[str, Any]) -> None:
    """Write `_run.json`: the metadata of a run, its status and counts, and its recipe without credentials.

    Raises:
        LeaseLostError: Another run took over the output.
    """
    check_lease(output)
    metadata = {
        "run_id": run.run_id,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "project_version": run.project_version,
        "git_commit": run.git_commit,
        **status,
        "recipe_digest": run.recipe.digest,
        "recipe": run.recipe.model_dump(mode="json"),
    }
    storage.put(storage.join(output, RUN_FILE), json.dumps(storage.redact_all(metadata), indent=2).encode())


def write_stopped(output: str, run: RunMetadata, rows: int, error: BaseException) -> None:
    """Write to `_run.json` that a run of a number of rows was stopped by an error.

    If that fails, it is logged at level debug, because the error is reported.
    """
    code = error.code if isinstance(error, Photo2AnimeError) else RunStoppedError.code
    message = str(error) if isinstance(error, Photo2AnimeError) else describe_exception(error)
    described = {"code": code, "message": storage.redact_message(" ".join(message.split()))}
    try:
        with storage.time_limit(_LONGEST_STOP):
            write_run_file(output, run, {"status": STOPPED, "rows": rows, "error": described})
    except Exception as failure:  # noqa: BLE001 - any error would replace the one that stopped the run
        LOGGER.debug("%s: %s", storage.redact(output), failure)


def store_recipe(output: str, recipe: Recipe) -> None:
    """Write a recipe to `_recipes/`, named by its digest, so that the recipes of older images are kept."""
    settings = recipe.model_dump(mode="json")
    redacted = storage.redact_all(settings)
    text = (b"" if redacted == settings else _REDACTED) + to_yaml(redacted).encode()
    storage.put(storage.join(output, RECIPES, f"{recipe.digest[:_DIGITS]}.yaml"), text)


def damaged_recipes(output: str) -> list[str]:
    """Read the recipes of an output. Returns the names of the files whose recipe differs from the digest in the name.

    The recipes from which credentials were removed are not compared.
    """
    folder = storage.join(output, RECIPES)
    names = [name for name in storage.names(folder) if name.endswith(".yaml") and not name.startswith(".")]
    return [f"{RECIPES}/{name}" for name in names if _is_damaged_recipe(storage.join(folder, name))]


def _is_damaged_recipe(uri: str) -> bool:
    if storage.read(uri).startswith(_REDACTED):
        return False
    try:
        return f"{load_recipe(uri).digest[:_DIGITS]}.yaml" != uri.rpartition("/")[2]
    except (RecipeError, ValueError):  # ValueError: of an invalid date in YAML
        return True


def project_version() -> str:
    """Return the installed version of photo2anime, or `not installed`."""
    try:
        return version("photo2anime")
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str | None:
    """Look up the Git commit of photo2anime.

    Returns:
        The commit of the checkout that contains this file, with the suffix `-dirty` if files were changed. Without a
        checkout or git, as in a container, the value of PHOTO2ANIME_COMMIT, or None if it is not set.
    """
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    if (root / ".git").exists():
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 - a constant command
    return os.environ.get("PHOTO2ANIME_COMMIT")


def _changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """List the top-level settings that differ between two recipes, except `SETTINGS_NOT_IN_DIGEST`."""
    return sorted(key for key in {*old, *new} - SETTINGS_NOT_IN_DIGEST if old.get(key) != new.get(key))
