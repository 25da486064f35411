"""Find the files of models, check that they exist, and compute their digests. The weights are not loaded.

The name of a model is one of:

- `builtin:demo` or `builtin:demo/controlnet-…`: the demo model, in `demo_model/`,
- a local folder,
- the address of a bucket folder, such as `s3://bucket/folder`, which is copied to the cache,
- a repository of the Hugging Face hub.
"""

import difflib
import fnmatch
import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pipeline import storage
from pipeline.errors import ModelDigestError, ModelError, ModelNotFoundError, StorageError
from pipeline.models.requirements import COMMIT_PATTERN, ModelRequirement, detector_requirement
from pipeline.storage.transfer import download
from schemas.detectors import DetectorSettings
from schemas.recipe import Recipe
from schemas.row_parts import ModelColumns

LOGGER = logging.getLogger("photo2anime.models")

# Keys under which the file systems of fsspec report the version of a file, in order of preference.
_VERSION_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "created")
_ESCAPED_CHARACTER = re.compile(r"\[([*?[])\]")  # as written by glob.escape
SHIPPED = Path(__file__).with_name("demo_model")


@dataclass(frozen=True)
class LocatedModel:
    """The files of a model on this machine.

    Attributes:
        folder: The folder of the model.
        requirement: The requirement that the files satisfy.
        revision: For a hub repository, its commit, or its branch or tag if the commit is unknown. For a local
            or bucket folder that `models pull` wrote, the commit in its locked recipe. For any other folder, the text
            "folder". For the demo model, the text "shipped".
        files: The required and optional files, sorted.
    """

    folder: Path
    requirement: ModelRequirement
    revision: str
    files: tuple[Path, ...]

    def columns(self) -> ModelColumns:
        """Return the columns that identify the model in provenance.

        Raises:
            ModelDigestError: The recipe is locked to another digest.
        """
        role, name = self.requirement.role, storage.redact(self.requirement.name)
        return ModelColumns(role, name, self.revision, self.checked_digest())

    def checked_digest(self) -> str:
        """Return the digest, and check that the recipe is not locked to another one.

        Raises:
            ModelDigestError: The recipe is locked to another digest.
        """
        digest, locked = self.digest(), self.requirement.sha256
        if locked not in (None, digest):
            raise ModelDigestError(
                f"{storage.redact(self.requirement.name)}: the digest is {digest}, but the recipe is locked to {locked}"
            )
        return digest

    def digest(self) -> str:
        """Read all files, and return their SHA-256.

        For a single file, this is the SHA-256 of its content, as the Hugging Face hub shows it. For several files, it
        is the SHA-256 of one line `sha256  path` for each file. Configurations and tokenizers are included, because
        they affect the images too.
        """
        lines = [f"{_sha256(path)}  {path.relative_to(self.folder).as_posix()}" for path in self.files]
        if len(lines) == 1:
            return lines[0].partition(" ")[0]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def label(self) -> str:
        """Return a folder name that identifies these files: the name of the model, and its commit or digest."""
        name = storage.redact(self.requirement.name).rstrip("/")
        name = name.replace("/", "--") if self.requirement.on_hub else name.rpartition("/")[2]
        is_commit = COMMIT_PATTERN.fullmatch(self.revision) is not None
        return f"{name}@{self.revision if is_commit else self.digest()[:16]}"


def cache_folder() -> Path:
    """Return the cache folder: PHOTO2ANIME_CACHE if it is set, else a subfolder of the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("PHOTO2ANIME_CACHE") or Path(user_cache) / "photo2anime")


def reference_digest(recipe: Recipe) -> str | None:
    """Return the SHA-256 of the recipe's reference image. Returns None if the recipe does not use one.

    Raises:
        ModelNotFoundError: The reference image is missing.
    """
    uri = recipe.ip_adapter.reference if recipe.ip_adapter else None
    if uri is None or recipe.mode == "maps":
        return None
    if not storage.exists(uri):
        raise ModelNotFoundError(
            f"ip_adapter.reference {storage.redact(uri)}: not found",
            "Name an existing image, or omit the reference and give each photo a reference_uri.",
        )
    return hashlib.sha256(storage.read(uri)).hexdigest()


def locate_detector(settings: DetectorSettings) -> LocatedModel | None:
    """Find the model of a detector. Returns None if the settings need no network."""
    requirement = detector_requirement(settings)
    return locate(requirement) if requirement else None


def locate(requirement: ModelRequirement) -> LocatedModel:
    """Find the files of a model, and download or copy them to a cache if necessary.

    Raises:
        ModelNotFoundError: A required file is missing.
        ModelError: The folder has an invalid model_index.json.
    """
    name, revision = requirement.name, requirement.revision
    if name.startswith("builtin:"):
        folder, revision = _shipped_folder(name), "shipped"
    elif requirement.on_hub:
        folder = _download_from_hub(requirement)
        revision = folder.name if COMMIT_PATTERN.fullmatch(folder.name) else revision
    else:
        folder = _copy_to_cache(requirement) if "://" in name else Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser raises an error for an unknown user
        # The locked recipe of `models pull` has the commit of a model. The folder itself does not.
        revision = revision if requirement.sha256 and COMMIT_PATTERN.fullmatch(revision) else "folder"
    _check_files(requirement, folder)
    files = {path for pattern in requirement.patterns for path in folder.glob(pattern)}
    return LocatedModel(folder, requirement, revision, tuple(sorted(files)))


def is_sdxl(folder: Path) -> bool:
    """Return whether a checkpoint in the layout of diffusers is Stable Diffusion XL.

    Raises:
        ModelError: The model_index.json is invalid.
    """
    return "text_encoder_2" in read_model_index(folder)


def read_model_index(folder: Path) -> dict[str, Any]:
    """Read the model_index.json of a checkpoint, which has the library and the class of each component.

    Components that the checkpoint does not have (null) are left out.

    Raises:
        ModelError: The model_index.json is invalid.
    """
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path}: invalid JSON", "Name a folder in the layout of diffusers.") from error
    return {name: component for name, component in index.items() if component not in (None, [None, None])}


def _check_files(requirement: ModelRequirement, folder: Path) -> None:
    """Raise `ModelNotFoundError` if a required file is missing. The message may suggest a similar file name."""
    is_sdxl_checkpoint = (folder / "model_index.json").is_file() and is_sdxl(folder)
    required = [*requirement.files, *(requirement.sdxl_files if is_sdxl_checkpoint else ())]
    missing = [pattern for pattern in required if not any(folder.glob(pattern))]
    if not missing:
        return
    missing = [_ESCAPED_CHARACTER.sub(r"\1", pattern) for pattern in missing]
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    similar = difflib.get_close_matches(missing[0], names, 1)
    suggestion = f" (did you mean {similar[0]}?)" if similar else ""
    raise ModelNotFoundError(
        f"{storage.redact(requirement.name)}: {', '.join(missing)} not found in {folder}{suggestion}"
    )


def _shipped_folder(name: str) -> Path:
    """Return the folder of the demo base, `builtin:demo`, or of a demo ControlNet, `builtin:demo/controlnet-…`."""
    controlnets = [path.name for path in sorted(SHIPPED.glob("controlnet-*"))]
    folders = {"builtin:demo": "base"} | {f"builtin:demo/{controlnet}": controlnet for controlnet in controlnets}
    if name not in folders:
        raise ModelNotFoundError(f"{name}: unknown built-in model", f"Choose one of {', '.join(folders)}.")
    return SHIPPED / folders[name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_from_hub(requirement: ModelRequirement) -> Path:
    name, revision = requirement.name, requirement.revision
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(requirement.patterns)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = storage.redact_message(str(error).splitlines()[0])
        files = ", ".join(requirement.files)
        raise ModelNotFoundError(
            f"{name}@{revision}: not in the local cache, and the request to the hub failed ({reason})",
            f"Run once with access to the hub, or name a local folder with {files}.",
        ) from error


def _copy_to_cache(requirement: ModelRequirement) -> Path:
    """Copy the required and optional files of a bucket folder to the cache, except those that are there unchanged."""
    folder = cache_folder() / "models" / hashlib.sha256(requirement.name.encode()).hexdigest()[:16]
    try:
        listing = storage.files(requirement.name)
    except StorageError as error:
        raise ModelNotFoundError(f"weights: {error}", "") from error
    versions_file = folder / ".versions.json"
    versions = json.loads(versions_file.read_text()) if versions_file.is_file() else {}
    for name, info in listing.items():
        target = folder / name
        used = any(fnmatch.fnmatch(name, pattern) for pattern in requirement.patterns)
        version = f"{info['size']} {next((info[key] for key in _VERSION_KEYS if info.get(key)), '')}"
        if used and not (target.is_file() and versions.get(name) == version):
            LOGGER.info("copying %s", storage.redact(storage.join(requirement.name, name)))
            download(storage.join(requirement.name, name), target)
            versions[name] = version
            storage.put(str(versions_file), json.dumps(versions).encode())
    return folder
