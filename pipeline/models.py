"""Where the weights are that a recipe names, and what they are: found, checked and digested.

A name is `builtin:demo…` (shipped in `demo_model/`), a local folder, a bucket folder (copied to the cache once) or a
hub repository. What is missing is a `ModelFault` that names the files. The converter and the detectors load them.
"""

import fnmatch
import hashlib
import inspect
import json
import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pipeline import storage
from pipeline.faults import ModelFault, RecipeFault, StorageFault
from schemas.detectors import DetectorSettings, NetworkSettings
from schemas.recipe import Control, Model, Recipe

SHIPPED = Path(__file__).with_name("demo_model")
WEIGHTS = (".safetensors", ".pth", ".pt", ".onnx", ".task")
EXTRAS = {"mediapipe": "pose", "rtmpose": "rtmpose"}  # of pyproject.toml, by detector
_BASE_PARTS = ("unet", "vae", "text_encoder")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Located:
    """A folder of weights, the name it was asked for by, the revision that was found, and the weights' files."""

    folder: Path
    name: str
    revision: str
    weights: tuple[Path, ...]

    def as_row(self, role: str) -> dict[str, str]:
        """Return the columns of `schemas.work.MODEL`; reads all the weights."""
        return {"role": role, "name": storage.redact(self.name), "revision": self.revision, "sha256": self.digest()}

    def digest(self) -> str:
        """Return the sha256 of the weights' file, as hubs publish it, or of the lines `sha256  path` of several."""
        lines = [f"{_sha256(path)}  {path.relative_to(self.folder)}" for path in self.weights]
        if len(lines) == 1:
            return lines[0].partition(" ")[0]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def cache_folder() -> Path:
    """Return where copied models are kept: PHOTO2ANIME_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("PHOTO2ANIME_CACHE") or Path(home) / "photo2anime")


def check_models(recipe: Recipe, brought: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the detectors whose weights are missing and whose maps may be blank then (`when_missing: blank`).

    `brought` names the detectors that are not needed, because the manifest brings every map of theirs.
    Raises `ModelFault` for anything else that is missing: called before a run writes anything.
    """
    if recipe.mode != "maps":
        _check_scheduler(recipe)
        _check_family(recipe)
    needed = [control for control in recipe.controls if control.detector.name not in brought]
    return frozenset(control.detector.name for control in needed if _must_be_blank(control))


def unpinned(recipe: Recipe, blank: frozenset[str] = frozenset()) -> list[str]:
    """Name the hub repositories that the recipe takes from a branch, but for the detectors `blank`."""
    models = [recipe.base, *(control.net for control in recipe.controls)] if recipe.mode != "maps" else []
    named = [(model.name, model.revision) for model in models]
    networks = [each for each in recipe.detectors if isinstance(each, NetworkSettings) and each.files]
    named += [(each.weights, each.revision) for each in networks if each.name not in blank]
    return [f"{name}@{revision}" for name, revision in named if _on_hub(name) and not _pinned(revision)]


def locate_base(model: Model) -> Located:
    """Find a whole Stable Diffusion checkpoint in diffusers' folders."""
    suffix = f"*.{model.variant}.safetensors" if model.variant else "*.safetensors"
    weights = [f"{part}/{suffix}" for part in _BASE_PARTS]
    return _locate(
        model.name, model.revision, ["model_index.json", "scheduler/*", "tokenizer/*", "*/config.json", *weights]
    )


def locate_net(model: Model) -> Located:
    """Find a ControlNet."""
    suffix = f"*.{model.variant}.safetensors" if model.variant else "*.safetensors"
    return _locate(model.name, model.revision, ["config.json", f"diffusion_pytorch_model{suffix}"])


def locate_detector(settings: DetectorSettings) -> Located | None:
    """Find a detector's network; None where it needs none."""
    if not isinstance(settings, NetworkSettings) or not settings.files:
        return None
    return _locate(settings.weights, settings.revision, list(settings.files))


def _check_family(recipe: Recipe) -> None:
    """Refuse nets of another family than the base's: they would fail in the middle of their first picture."""
    width = _text_width(locate_base(recipe.base).folder / "unet")
    for control in recipe.controls:
        found = _text_width(locate_net(control.net).folder)
        if found != width:
            message = f"{control.net.name} was made for a text width of {found}, {recipe.base.name} has {width}"
            raise ModelFault(message, "Choose nets of the base model's family.")


def _check_scheduler(recipe: Recipe) -> None:
    """Refuse a setting that the scheduler does not have: diffusers would ignore it in silence."""
    if not recipe.scheduler.settings:
        return  # and no need for diffusers, whose import takes seconds
    import diffusers

    known = inspect.signature(getattr(diffusers, recipe.scheduler.name)).parameters
    for name in recipe.scheduler.settings:
        if name not in known:
            message = f"recipe {recipe.name}: {recipe.scheduler.name} has no setting {name!r}"
            raise RecipeFault(message, f"It has {', '.join(known)}.")


def _text_width(folder: Path) -> int:
    """Return the width of the text embeddings that a UNet or a ControlNet takes: it tells the model families apart."""
    try:
        return int(json.loads((folder / "config.json").read_text())["cross_attention_dim"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"{folder / 'config.json'} is no configuration of a UNet or ControlNet"
        raise ModelFault(message, "Name a folder in diffusers' layout.") from error


def _must_be_blank(control: Control) -> bool:
    _check_library(control.detector)
    try:
        locate_detector(control.detector)
    except ModelFault:
        if control.when_missing == "blank":
            return True
        raise
    return False


def _check_library(settings: DetectorSettings) -> None:
    """Raise `ModelFault` where the library that does a detector's work is an extra, and not installed."""
    try:
        version(settings.library)
    except PackageNotFoundError as error:
        extra = EXTRAS[settings.name]
        message = f"detector {settings.name}: {settings.library} is not installed"
        raise ModelFault(message, f"Install it: pip install 'photo2anime[{extra}]'.") from error


def _locate(name: str, revision: str, patterns: list[str]) -> Located:
    if name.startswith("builtin:"):
        folder, revision = _shipped(name), "shipped"
    elif _on_hub(name):
        folder = _from_hub(name, revision, patterns)
        revision = folder.name if _pinned(folder.name) else revision
    else:
        folder = _copied(name) if "://" in name else Path(name).expanduser()
        revision = "folder"
    missing = [pattern for pattern in patterns if not any(folder.glob(pattern))]
    if missing:
        message = f"{storage.redact(name)}: {', '.join(missing)} not found in {folder}"
        raise ModelFault(message, "Name a folder that holds it, or where the hub can be reached, its repository.")
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.suffix in WEIGHTS}
    return Located(folder, name, revision, tuple(sorted(found)))


def _shipped(name: str) -> Path:
    """Return the folder of `builtin:demo`, the base, or of `builtin:demo/controlnet-…`."""
    nets = [path.name for path in sorted(SHIPPED.glob("controlnet-*"))]
    folders = {"builtin:demo": "base"} | {f"builtin:demo/{net}": net for net in nets}
    if name not in folders:
        message = f"{name} is not a model that ships with this program"
        raise ModelFault(message, f"There are {', '.join(folders)}.")
    return SHIPPED / folders[name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _on_hub(name: str) -> bool:
    local = name.startswith((".", "/", "~")) or "://" in name or Path(name).is_dir()
    return not local and not name.startswith("builtin:")


def _pinned(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def _from_hub(name: str, revision: str, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = storage.redact_text(str(error).splitlines()[0])
        message = f"{name}@{revision}: neither in the hub's cache nor to be had from the hub ({reason})"
        mend = f"It needs {', '.join(patterns)}: run once where the hub is reachable, or name a local folder (--set)."
        raise ModelFault(message, mend) from error


def _copied(uri: str) -> Path:
    """Copy a bucket's folder into the cache, the files that are not there yet at their size."""
    folder = cache_folder() / "models" / hashlib.sha256(uri.encode()).hexdigest()[:16]
    try:
        there = storage.files(uri)
    except StorageFault as fault:
        message = f"weights: {fault}"
        raise ModelFault(message) from fault
    for name, info in there.items():
        target = folder / name
        wanted = fnmatch.fnmatch(name, "*.json") or name.endswith((*WEIGHTS, ".txt", ".model"))
        if wanted and not (target.is_file() and target.stat().st_size == info["size"]):
            storage.put(str(target), storage.read(storage.join(uri, name)))
    return folder
