"""The models that a recipe requires, and the files of each.

This module does not look for the files: `pipeline.models.resolve` does.
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
"""The keys and indices from the root of a recipe to one of its parts."""
_BASE_PARTS = ("unet", "vae", "text_encoder")
_CONFIGURATION = ("model_index.json", "scheduler/*", "tokenizer/*", "*/config.json")
_SECOND_TOKENIZER = "tokenizer_2/*"
_SHARD_INDEX = "*.safetensors.index*.json"  # maps weights to files if a model has several


@dataclass(frozen=True)
class ModelRequirement:
    """A model that a recipe requires. Its files are given as glob patterns, relative to the folder of the model.

    Attributes:
        role: The purpose of the model, which is unique in a recipe, such as `base` or `controlnet-canny`.
        config_path: The path of the part of the recipe that names the model.
        name: A hub repository, a local folder, a bucket address or `builtin:…`.
        revision: A branch or commit of the hub repository.
        files: The files that must exist.
        optional: The files that are used if they exist.
        sdxl_files: Further files that must exist if the model is a checkpoint of Stable Diffusion XL.
        sha256: The digest that the recipe is locked to, if any.
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
        """The patterns of all files that may be used."""
        return (*self.files, *self.sdxl_files, *self.optional)

    @property
    def on_hub(self) -> bool:
        """Whether the name is a repository of the Hugging Face hub."""
        local = self.name.startswith((".", "/", "~")) or "://" in self.name or Path(self.name).is_dir()
        return not local and not self.name.startswith("builtin:")

    @property
    def pinned(self) -> bool:
        """Whether a commit or a digest fixes the weights of a hub repository. True for models outside the hub."""
        return not self.on_hub or self.sha256 is not None or COMMIT_PATTERN.fullmatch(self.revision) is not None


def model_requirements(recipe: Recipe) -> list[ModelRequirement]:
    """Return the models that the converter loads, in their order in provenance. Mode `maps` requires none."""
    if recipe.mode == "maps":
        return []
    requirements = [_base(recipe.base)]
    if recipe.base.config:
        config = _requirement("config", ("base", "config"), recipe.base.config, _CONFIGURATION)
        requirements.append(replace(config, sdxl_files=(_SECOND_TOKENIZER,)))
    if recipe.vae:
        requirements.append(_vae(recipe.vae))
    for index, control in enumerate(recipe.controls):
        requirements.append(_controlnet(control.detector.name, ("controls", index, "net"), control.net))
    if recipe.upscale:
        requirements.append(_controlnet("upscale", ("upscale", "net"), recipe.upscale.net))
    for index, lora in enumerate(recipe.loras):
        requirements.append(_requirement(f"lora-{index}", ("loras", index), lora, (glob.escape(lora.file),)))
    for index, embedding in enumerate(recipe.embeddings):
        role, file = f"embedding-{embedding.token}", glob.escape(embedding.file)
        requirements.append(_requirement(role, ("embeddings", index), embedding, (file,)))
    if recipe.ip_adapter:
        requirements.append(_ip_adapter(recipe.ip_adapter))
    if recipe.safety.policy != "off":
        checker_files = ("config.json", "*.safetensors")
        requirements.append(_requirement("safety-checker", ("safety",), recipe.safety, checker_files))
    return requirements


def detector_requirements(recipe: Recipe) -> list[tuple[DetectorSettings, ModelRequirement]]:
    """Return the settings and the model of each detector that has a network."""
    paths: list[ConfigPath] = [("controls", index, "detector") for index in range(len(recipe.controls))]
    paths.append(("region", "detector"))
    # The last path is used only if the region has a detector that no control has.
    pairs = zip(recipe.detectors, paths, strict=False)
    requirements = [(settings, detector_requirement(settings, path)) for settings, path in pairs]
    return [(settings, requirement) for settings, requirement in requirements if requirement]


def detector_requirement(settings: DetectorSettings, config_path: ConfigPath = ()) -> ModelRequirement | None:
    """Return the model of a detector. Returns None if these settings use no network."""
    if not isinstance(settings, NetworkSettings) or not settings.files:
        return None
    return ModelRequirement(
        settings.name, config_path, settings.weights, settings.revision, settings.files, sha256=settings.sha256
    )


def _requirement(
    role: str, config_path: ConfigPath, model: Model, files: tuple[str, ...], optional: tuple[str, ...] = ()
) -> ModelRequirement:
    return ModelRequirement(role, config_path, model.name, model.revision, files, optional, sha256=model.sha256)


def _base(base: Base) -> ModelRequirement:
    if base.file:
        return _requirement("base", ("base",), base, (glob.escape(base.file),))
    weights = tuple(f"{part}/{_weights_pattern(base)}" for part in _BASE_PARTS)
    requirement = _requirement("base", ("base",), base, (*_CONFIGURATION, *weights), (f"*/{_SHARD_INDEX}",))
    return replace(requirement, sdxl_files=(_SECOND_TOKENIZER, f"text_encoder_2/{_weights_pattern(base)}"))


def _vae(vae: Vae) -> ModelRequirement:
    if vae.file:
        return _requirement("vae", ("vae",), vae, (glob.escape(vae.file),))
    return _requirement("vae", ("vae",), vae, _diffusers_files(vae), (_SHARD_INDEX,))


def _controlnet(name: str, config_path: ConfigPath, model: Model) -> ModelRequirement:
    return _requirement(f"controlnet-{name}", config_path, model, _diffusers_files(model), (_SHARD_INDEX,))


def _ip_adapter(adapter: IpAdapter) -> ModelRequirement:
    encoder = glob.escape(adapter.encoder)
    files = (glob.escape(adapter.file), f"{encoder}/config.json", f"{encoder}/*.safetensors")
    return _requirement("ip-adapter", ("ip_adapter",), adapter, files, (f"{encoder}/{_SHARD_INDEX}",))


def _diffusers_files(model: Model) -> tuple[str, ...]:
    return "config.json", f"diffusion_pytorch_model{_weights_pattern(model)}"


def _weights_pattern(model: Model) -> str:
    """Return the pattern for the end of the file names of a model's weights. It also matches shards of a variant."""
    return f"*.{model.variant}*.safetensors" if model.variant else "*.safetensors"
