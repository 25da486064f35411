"""Where the weights are that a recipe names, and what they are: found, checked and digested.

A name is `builtin:demo…` (shipped in `demo_model/`), a local folder, a bucket folder (copied to the cache once) or a
hub repository. What is missing is a `ModelError` that names the files. The converter and the detectors load them.
"""

import difflib
import fnmatch
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pipeline import storage
from pipeline.errors import ModelError, StorageError
from pipeline.models.requirements import COMMIT_PATTERN, ModelRequirement, detector_requirement
from pipeline.storage.transfer import download
from schemas.detectors import DetectorSettings
from schemas.recipe import Recipe

_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "created")  # as file systems call them
_ESCAPED = re.compile(r"\[([*?[])\]")  # by glob.escape
SHIPPED = Path(__file__).with_name("demo_model")


@dataclass(frozen=True)
class LocatedModel:
    """A folder of weights, what it was asked for, the revision that was found, and the files that were asked for."""

    folder: Path
    requirement: ModelRequirement
    revision: str
    files: tuple[Path, ...]

    def as_row(self) -> dict[str, str]:
        """Return the columns of `schemas.work.MODEL`; reads all the files. Raises `ModelError` for other weights."""
        name = storage.redact(self.requirement.name)
        return {"role": self.requirement.role, "name": name, "revision": self.revision, "sha256": self.checked_digest()}

    def checked_digest(self) -> str:
        """Return `digest`; raise `ModelError` where the recipe is locked to another one."""
        found = self.digest()
        if self.requirement.sha256 not in (None, found):
            message = f"{storage.redact(self.requirement.name)}: its files are {found}, the recipe is locked to"
            message = f"{message} {self.requirement.sha256}"
            raise ModelError(message, "Restore them, or lock the recipe anew: photo2anime recipes lock.")
        return found

    def digest(self) -> str:
        """Return the sha256 of the only file, as hubs publish it, or of the lines `sha256  path` of several.

        Configurations and tokenizers decide pictures as weights do, and count.
        """
        lines = [f"{_sha256(path)}  {path.relative_to(self.folder).as_posix()}" for path in self.files]
        if len(lines) == 1:
            return lines[0].partition(" ")[0]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def label(self) -> str:
        """Return a name for a folder of these very files: the model's, and the commit or what the files hold."""
        last = storage.redact(self.requirement.name).rstrip("/")
        last = last.replace("/", "--") if self.requirement.on_hub else last.rpartition("/")[2]
        pinned = COMMIT_PATTERN.fullmatch(self.revision) is not None
        return f"{last}@{self.revision if pinned else self.digest()[:16]}"


def cache_folder() -> Path:
    """Return where copied models are kept: PHOTO2ANIME_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("PHOTO2ANIME_CACHE") or Path(home) / "photo2anime")


def reference_digest(recipe: Recipe) -> str | None:
    """Return the sha256 of the recipe's reference picture; None without one. Raises `ModelError` where it is gone."""
    uri = recipe.ip_adapter.reference if recipe.ip_adapter else None
    if uri is None or recipe.mode == "maps":
        return None
    if not storage.exists(uri):
        message = f"ip_adapter.reference {storage.redact(uri)}: not found"
        raise ModelError(message, "Name a picture, or leave it to the manifest's reference_uri.")
    return hashlib.sha256(storage.read(uri)).hexdigest()


def locate_detector(settings: DetectorSettings) -> LocatedModel | None:
    """Find a detector's network; None where it needs none."""
    need = detector_requirement(settings)
    return locate(need) if need else None


def locate(need: ModelRequirement) -> LocatedModel:
    """Find what a recipe needs. Raises `ModelError` for what is not to be had whole."""
    revision = need.revision if need.sha256 and COMMIT_PATTERN.fullmatch(need.revision) else "folder"
    if need.name.startswith("builtin:"):
        folder, revision = _shipped(need.name), "shipped"
    elif need.on_hub:
        folder = _from_hub(need)
        revision = folder.name if COMMIT_PATTERN.fullmatch(folder.name) else need.revision
    else:
        folder = _copied(need) if "://" in need.name else Path(os.path.expanduser(need.name))  # noqa: PTH111 - a home that nobody has is no error
    wanted = [*need.files, *(need.sdxl_files if _is_whole_xl(folder) else ())]
    missing = [pattern for pattern in wanted if not any(folder.glob(pattern))]
    if missing:
        missing = [_ESCAPED.sub(r"\1", pattern) for pattern in missing]
        message = f"{storage.redact(need.name)}: {', '.join(missing)} not found in {folder}"
        mend = "Name a folder that holds it, or where the hub can be reached, its repository."
        message += _meant(missing[0], folder)
        raise ModelError(message, mend)
    found = {path for pattern in need.patterns for path in folder.glob(pattern)}
    return LocatedModel(folder, need, revision, tuple(sorted(found)))


def is_sdxl(folder: Path) -> bool:
    """Tell whether a checkpoint in diffusers' folders is of Stable Diffusion XL. Raises `ModelError`."""
    return "text_encoder_2" in read_model_index(folder)


def read_model_index(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint's folder says of its parts. Raises `ModelError`."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
    except ValueError as error:
        message = f"{folder / 'model_index.json'} is no index of a checkpoint"
        raise ModelError(message, "Name a folder in diffusers' layout.") from error
    return {name: part for name, part in index.items() if part not in (None, [None, None])}


def _is_whole_xl(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() and is_sdxl(folder)


def _meant(pattern: str, folder: Path) -> str:
    """Say which file of a folder is named nearly so."""
    there = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    near = difflib.get_close_matches(pattern, there, 1)
    return f" (is {near[0]} meant?)" if near else ""


def _shipped(name: str) -> Path:
    """Return the folder of `builtin:demo`, the base, or of `builtin:demo/controlnet-…`."""
    nets = [path.name for path in sorted(SHIPPED.glob("controlnet-*"))]
    folders = {"builtin:demo": "base"} | {f"builtin:demo/{net}": net for net in nets}
    if name not in folders:
        message = f"{name} is not a model that ships with this program"
        raise ModelError(message, f"There are {', '.join(folders)}.")
    return SHIPPED / folders[name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(need: ModelRequirement) -> Path:
    try:
        return Path(snapshot_download(need.name, revision=need.revision, allow_patterns=list(need.patterns)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = storage.redact_text(str(error).splitlines()[0])
        message = f"{need.name}@{need.revision}: neither in the hub's cache nor to be had from the hub ({reason})"
        mend = f"It needs {', '.join(need.files)}: run once where the hub is reachable, or name a local folder (--set)."
        raise ModelError(message, mend) from error


def _copied(need: ModelRequirement) -> Path:
    """Copy what is needed of a bucket's folder into the cache: what is not there yet, or has changed since."""
    folder = cache_folder() / "models" / hashlib.sha256(need.name.encode()).hexdigest()[:16]
    try:
        there = storage.files(need.name)
    except StorageError as fault:
        message = f"weights: {fault}"
        raise ModelError(message) from fault
    index = folder / ".versions.json"
    seen = json.loads(index.read_text()) if index.is_file() else {}
    for name, info in there.items():
        target = folder / name
        wanted = any(fnmatch.fnmatch(name, pattern) for pattern in need.patterns)
        version = f"{info['size']} {next((info[key] for key in _VERSIONS if info.get(key)), '')}"
        if wanted and not (target.is_file() and seen.get(name) == version):
            download(storage.join(need.name, name), target)
            seen[name] = version
            storage.put(str(index), json.dumps(seen).encode())
    return folder
