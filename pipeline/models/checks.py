"""Check the models of a recipe before a run: their files, their locked digests, and whether they are compatible."""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import storage
from pipeline.errors import (
    BaseMismatchError,
    MissingPackageError,
    ModelDigestError,
    ModelError,
    ModelMismatchError,
    PromptError,
    RecipePromptError,
)
from pipeline.models.requirements import ModelRequirement, detector_requirements, model_requirements
from pipeline.models.resolve import LocatedModel, is_sdxl, locate, reference_digest
from pipeline.models.scheduler_check import check_scheduler_settings, check_scheduler_steps
from pipeline.recipes.prompts import render_prompt
from schemas.detectors import DetectorSettings
from schemas.prompt import template_columns
from schemas.recipe import Recipe

_DEFAULT_TEXT_LAYERS = 12  # the default num_hidden_layers of CLIPTextConfig in transformers
_INPAINT_CHANNELS = 9  # 4 latent channels of the image, 1 of the mask and 4 of the masked photo
_COMPEL_SYNTAX = re.compile(r"[()\"]")  # a prompt without these characters has no syntax that could be invalid
_EXTRAS = {"mediapipe": "pose", "rtmpose": "rtmpose"}  # detector -> extra of pyproject.toml that installs its package


def check_models(recipe: Recipe, unused: frozenset[str] = frozenset()) -> frozenset[str]:
    """Check the models of a recipe, and the settings that depend on its models.

    Args:
        recipe: The recipe.
        unused: The names of the detectors that the run does not need, because the manifest provides all their maps.

    Returns:
        The names of the detectors whose weights are missing and whose maps are therefore black.

    Raises:
        ModelNotFoundError: A model is missing.
        ModelDigestError: A model or the reference image differs from the digest that the recipe is locked to.
        ModelMismatchError: A ControlNet belongs to another model family than the base.
        MissingPackageError: A detector needs a package that is not installed.
        BaseMismatchError: The base does not support the mode or clip_skip.
        SchedulerError: The scheduler does not support a setting or the number of steps.
        RecipePromptError: A prompt is invalid.
    """
    if recipe.mode != "maps":
        check_scheduler_settings(recipe)
        check_reference(recipe)
    models = {requirement.role: locate(requirement) for requirement in model_requirements(recipe)}
    for model in models.values():
        _check_locked_digest(model)
    if models:
        config = models.get("config", models["base"]).folder
        _check_families(models, config)
        _check_mode(recipe, config)
        _check_clip_skip(recipe, config)
        _check_prompts(recipe, config)
        check_scheduler_steps(recipe, config)
    for settings in recipe.detectors:
        if settings.name not in unused:
            _check_package(settings)
    return frozenset(
        settings.name
        for settings, requirement in detector_requirements(recipe)
        if settings.name not in unused and _is_blank(requirement, optional=settings.name in recipe.may_be_blank)
    )


def unpinned_models(recipe: Recipe, blank: frozenset[str] = frozenset()) -> list[str]:
    """Return the hub repositories, as `name@revision`, for which the recipe pins neither a commit nor a digest.

    Args:
        recipe: The recipe.
        blank: Detectors to ignore, because their maps are black.
    """
    detectors = [requirement for settings, requirement in detector_requirements(recipe) if settings.name not in blank]
    requirements = [*model_requirements(recipe), *detectors]
    return [f"{requirement.name}@{requirement.revision}" for requirement in requirements if not requirement.pinned]


def check_reference(recipe: Recipe) -> None:
    """Check that the reference image exists and has the digest that the recipe is locked to.

    Raises:
        ModelNotFoundError: The reference image is missing.
        ModelDigestError: The recipe is locked to another digest.
    """
    digest, adapter = reference_digest(recipe), recipe.ip_adapter
    if adapter and digest and adapter.reference_sha256 not in (None, digest):
        uri, locked = storage.redact(adapter.reference or ""), adapter.reference_sha256
        raise ModelDigestError(
            f"ip_adapter.reference {uri}: the digest is {digest}, but the recipe is locked to {locked}"
        )


def _check_locked_digest(model: LocatedModel) -> None:
    """Check the digest of a model if the recipe is locked to one. Otherwise the files are not read."""
    if model.requirement.sha256:
        model.checked_digest()


def _check_families(models: dict[str, LocatedModel], base: Path) -> None:
    """Check that all ControlNets belong to the model family of the base. Others would fail at the first image."""
    width = _text_width(base / "unet")
    for role, model in models.items():
        if role.startswith("controlnet-") and (other := _text_width(model.folder)) != width:
            family = "Stable Diffusion XL" if is_sdxl(base) else "Stable Diffusion 1 or 2"
            raise ModelMismatchError(f"{role}: cross_attention_dim is {other}, but the base ({family}) has {width}")


def _text_width(folder: Path) -> int:
    """Return the width of the text embeddings of a UNet or ControlNet, which differs between the model families."""
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text())["cross_attention_dim"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: invalid configuration of a UNet or ControlNet", "Name a folder in the layout of diffusers."
        ) from error


def _check_mode(recipe: Recipe, base: Path) -> None:
    """Check that an inpainting checkpoint is used only in mode inpaint without upscale."""
    channels = json.loads((base / "unet" / "config.json").read_text()).get("in_channels")
    if channels == _INPAINT_CHANNELS and (recipe.mode != "inpaint" or recipe.upscale):
        raise BaseMismatchError(
            f"recipe {recipe.name}: the base supports inpainting only",
            "Set mode: inpaint and remove upscale, or choose a checkpoint that is not for inpainting.",
        )


def _check_clip_skip(recipe: Recipe, base: Path) -> None:
    """Check that clip_skip does not exceed the number of layers that can be skipped."""
    if not recipe.clip_skip:
        return
    configs = [path for name in ("text_encoder", "text_encoder_2") if (path := base / name / "config.json").is_file()]
    layers = min(int(json.loads(path.read_text()).get("num_hidden_layers", _DEFAULT_TEXT_LAYERS)) for path in configs)
    maximum = layers - 1 if is_sdxl(base) else layers  # Stable Diffusion XL always skips the last layer
    if recipe.clip_skip > maximum:
        raise BaseMismatchError(
            f"recipe {recipe.name}: clip_skip is {recipe.clip_skip}, but a text encoder has {layers} layers",
            f"Set clip_skip to at most {maximum}.",
        )


def _check_prompts(recipe: Recipe, base: Path) -> None:
    """Check the Compel syntax of the prompts of the recipe. An invalid prompt would fail every image that uses it."""
    for key, template in (("prompt", recipe.prompt), ("negative_prompt", recipe.negative_prompt)):
        if not _COMPEL_SYNTAX.search(template):
            continue  # the import of Compel takes seconds
        from pipeline.recipes.prompt_weights import parse_prompt

        columns = dict.fromkeys(template_columns(template), "x")
        try:
            parse_prompt(render_prompt(template, columns, recipe.seed), xl=is_sdxl(base))
        except (PromptError, ValueError) as error:
            raise RecipePromptError(f"recipe {recipe.name}: {key}: {error}") from error


def _check_package(settings: DetectorSettings) -> None:
    """Check that the package of a detector is installed. Some packages are optional extras."""
    try:
        version(settings.library)
    except PackageNotFoundError as error:
        extra = _EXTRAS.get(settings.name)
        package = f"photo2anime[{extra}]" if extra else settings.library
        raise MissingPackageError(
            f"detector {settings.name}: {settings.library} is not installed", f"Install it: pip install '{package}'."
        ) from error


def _is_blank(requirement: ModelRequirement, *, optional: bool) -> bool:
    """Return whether the weights of a detector are missing.

    Raises `ModelError` if they are missing and not `optional`, if they are missing in a local folder, or if their
    digest is not the locked one.
    """
    try:
        located = locate(requirement)
    except ModelError:
        if optional and (requirement.on_hub or "://" in requirement.name):
            return True
        raise
    _check_locked_digest(located)
    return False
