"""The output's own account: whose recipe it holds, and how the last run on it went.

`_run.json` is the last run's; every recipe that ever made a picture here stays in `_recipes/`, by its digest.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.errors import OutputError
from pipeline.recipes.load import to_yaml
from schemas.recipe import Recipe

RUN_FILE = "_run.json"
OWN_FOLDERS = ("_plan", "images", "maps", "masks", "provenance")


@dataclass(frozen=True)
class RunMetadata:
    """What every row of a run shares."""

    run_id: str
    recipe: Recipe
    project_version: str
    git_commit: str | None


def read_run_file(output: str) -> dict[str, Any] | None:
    """Return the last run's account; None for a new output. Raises `OutputError` for what is not ours."""
    uri = storage.join(output, RUN_FILE)
    if storage.exists(uri):
        try:
            account = json.loads(storage.read(uri))
        except ValueError as error:
            message = f"{storage.redact(uri)} cannot be read ({error})"
            raise OutputError(message, "Restore it, or choose another output.") from error
        if isinstance(account, dict) and "recipe_digest" in account:
            return account
        message = f"{storage.redact(uri)} was not written by this program"
        raise OutputError(message, "Choose another output.")
    taken = [name for name in OWN_FOLDERS if storage.exists(storage.join(output, name))]
    if taken:
        message = f"{storage.redact(output)} holds {taken[0]!r} but no {RUN_FILE}: it is not an output of this program"
        raise OutputError(message, "Choose another output.")
    return None


def check_recipe(output: str, account: dict[str, Any] | None, recipe: Recipe, *, reconvert: bool) -> None:
    """Raise `OutputError` where the output was made by another recipe, unless it is to be converted anew."""
    if account is None or reconvert or account["recipe_digest"] == recipe.digest:
        return
    changed = _differences(account["recipe"], storage.redact_all(recipe.model_dump(mode="json")))
    message = (
        f"{storage.redact(output)} belongs to recipe {account['recipe']['name']!r} {account['recipe_digest'][:12]},"
        f" this is {recipe.name!r} {recipe.digest[:12]}; they differ in {', '.join(changed)}"
    )
    raise OutputError(message, "Choose another output, or convert all again with --recipe-changed=reconvert.")


def write_run_file(output: str, facts: RunMetadata, account: dict[str, Any]) -> None:
    """Write the run's account, its recipe in full."""
    recipe = facts.recipe
    whole = {
        "run_id": facts.run_id,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "project_version": facts.project_version,
        "git_commit": facts.git_commit,
        **account,
        "recipe_digest": recipe.digest,
        "recipe": recipe.model_dump(mode="json"),
    }
    storage.put(storage.join(output, RUN_FILE), json.dumps(storage.redact_all(whole), indent=2).encode())


def store_recipe(output: str, recipe: Recipe) -> None:
    """Put the recipe's text under its digest, so that older pictures keep theirs when the recipe changes."""
    text = to_yaml(storage.redact_all(recipe.model_dump(mode="json")))
    storage.put(storage.join(output, "_recipes", f"{recipe.digest[:16]}.yaml"), text.encode())


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    beside = {"name", "description", "batch_size"}
    return sorted(key for key in {*old, *new} - beside if old.get(key) != new.get(key))


def project_version() -> str:
    """Return the installed version of photo2anime."""
    try:
        return version("photo2anime")
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str | None:
    """Return the commit of the checkout this runs from, `-dirty` behind it where files differ.

    An image built without its `.git` says it by PHOTO2ANIME_COMMIT. None where nobody knows.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return os.environ.get("PHOTO2ANIME_COMMIT")
    described = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(described, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 - a constant command
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("PHOTO2ANIME_COMMIT")
