"""What a recipe needs of weights: each place of it that names a model, and the files that are wanted of that.

Knows nothing of where they are: `pipeline.models.resolve` finds them.
"""

import glob
import re
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.detectors import DetectorSettings, NetworkSettings
from schemas.models import Base, IpAdapter, Model, Vae
from schemas.recipe import Recipe

COMMIT_PATTERN = re.compile(r"[0-9a-f]{40}")
ConfigPath = tuple[str | int, ...]
"""The keys that lead through a recipe's tree to what names a model."""
_BASE_PARTS = ("unet", "vae", "text_encoder")
_CONFIGURATION = ("model_index.json", "scheduler/*", "tokenizer/*", "*/config.json")
_SECOND_TOKENIZER = "tokenizer_2/*"
_SHARDS = "*.safetensors.index*.json"  # says in which of several files a weight is


@dataclass(frozen=True)
class ModelRequirement:
    """What a recipe asks for at one place of its tree: a name, and the files that are wanted of it.

    `sdxl_files` are wanted besides of a checkpoint of XL, `optional` where there are any; all are patterns of paths.
    `config_path` is where the recipe names it.
    """

    role: str
    config_path: ConfigPath
    name: str
    revision: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    sdxl_files: tuple[str, ...] = ()
    sha256: str | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """All files that may be of use."""
        return (*self.files, *self.sdxl_files, *self.optional)

    @property
    def on_hub(self) -> bool:
        """Tell whether the name is a repository of the hub."""
        local = self.name.startswith((".", "/", "~")) or "://" in self.name or Path(self.name).is_dir()
        return not local and not self.name.startswith("builtin:")

    @property
    def pinned(self) -> bool:
        """Tell whether its weights cannot change: a commit of the hub, or weights of a known digest."""
        return not self.on_hub or self.sha256 is not None or COMMIT_PATTERN.fullmatch(self.revision) is not None


def model_requirements(recipe: Recipe) -> list[ModelRequirement]:
    """Return all that the converter loads for a recipe, in the order that provenance names it; nothing for maps."""
    if recipe.mode == "maps":
        return []
    found = [_base(recipe.base)]
    if recipe.base.config:
        needed = _need("config", ("base", "config"), recipe.base.config, _CONFIGURATION)
        found.append(replace(needed, sdxl_files=(_SECOND_TOKENIZER,)))
    if recipe.vae:
        found.append(_vae(recipe.vae))
    for number, control in enumerate(recipe.controls):
        found.append(_net(f"controlnet-{control.detector.name}", ("controls", number, "net"), control.net))
    if recipe.upscale:
        found.append(_net("controlnet-upscale", ("upscale", "net"), recipe.upscale.net))
    for number, lora in enumerate(recipe.loras):
        found.append(_need(f"lora-{number}", ("loras", number), lora, (glob.escape(lora.file),)))
    for number, embedding in enumerate(recipe.embeddings):
        found.append(
            _need(f"embedding-{embedding.token}", ("embeddings", number), embedding, (glob.escape(embedding.file),))
        )
    if recipe.ip_adapter:
        found.append(_ip_adapter(recipe.ip_adapter))
    if recipe.safety.policy != "off":
        found.append(_need("safety-checker", ("safety",), recipe.safety, ("config.json", "*.safetensors")))
    return found


def detector_requirements(recipe: Recipe) -> list[tuple[DetectorSettings, ModelRequirement]]:
    """Return what the detectors of a recipe load, each with its settings; those without a network are left out."""
    places: list[ConfigPath] = [("controls", number, "detector") for number in range(len(recipe.controls))]
    places.append(("region", "detector"))
    named = zip(recipe.detectors, places, strict=False)
    needs = [(settings, detector_requirement(settings, place)) for settings, place in named]
    return [(settings, need) for settings, need in needs if need]


def detector_requirement(settings: DetectorSettings, place: ConfigPath = ()) -> ModelRequirement | None:
    """Return what a detector loads; None where it needs no network."""
    if not isinstance(settings, NetworkSettings) or not settings.files:
        return None
    return ModelRequirement(
        settings.name, place, settings.weights, settings.revision, settings.files, sha256=settings.sha256
    )


def _need(
    role: str, place: ConfigPath, model: Model, files: tuple[str, ...], optional: tuple[str, ...] = ()
) -> ModelRequirement:
    return ModelRequirement(role, place, model.name, model.revision, files, optional, sha256=model.sha256)


def _base(base: Base) -> ModelRequirement:
    if base.file:
        return _need("base", ("base",), base, (glob.escape(base.file),))
    weights = tuple(f"{part}/{_suffix(base)}" for part in _BASE_PARTS)
    whole = _need("base", ("base",), base, (*_CONFIGURATION, *weights), (f"*/{_SHARDS}",))
    return replace(whole, sdxl_files=(_SECOND_TOKENIZER, f"text_encoder_2/{_suffix(base)}"))


def _vae(vae: Vae) -> ModelRequirement:
    if vae.file:
        return _need("vae", ("vae",), vae, (glob.escape(vae.file),))
    return _need("vae", ("vae",), vae, _diffusers_files(vae), (_SHARDS,))


def _net(role: str, place: ConfigPath, net: Model) -> ModelRequirement:
    return _need(role, place, net, _diffusers_files(net), (_SHARDS,))


def _ip_adapter(adapter: IpAdapter) -> ModelRequirement:
    folder = glob.escape(adapter.encoder)
    encoder = (f"{folder}/config.json", f"{folder}/*.safetensors")
    return _need(
        "ip-adapter", ("ip_adapter",), adapter, (glob.escape(adapter.file), *encoder), (f"{folder}/{_SHARDS}",)
    )


def _diffusers_files(model: Model) -> tuple[str, ...]:
    return "config.json", f"diffusion_pytorch_model{_suffix(model)}"


def _suffix(model: Model) -> str:
    """Return how the names of a model's files end, those of its variant if it has one."""
    return f"*.{model.variant}*.safetensors" if model.variant else "*.safetensors"  # or x.fp16-00001-of-00002.…
