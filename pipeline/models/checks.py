"""What is checked of a recipe's models before any work: that all are there, fit each other, and are what was locked."""

import difflib
import inspect
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.errors import ModelError, PromptError, RecipeError
from pipeline.models.requirements import ModelRequirement, detector_requirements, model_requirements
from pipeline.models.resolve import is_sdxl, locate, reference_digest
from pipeline.recipes.prompts import render_prompt
from schemas.detectors import DetectorSettings
from schemas.prompt import template_columns
from schemas.recipe import Recipe

DEFAULT_TEXT_LAYERS = 12  # of a text encoder that does not say how many it has: transformers' default
INPAINT_CHANNELS = 9  # of latents: the picture's 4, the mask, the masked photo's 4
STEP_SENSITIVE_SCHEDULERS = (
    "LCMScheduler",
    "TCDScheduler",
    "PNDMScheduler",
)  # schedulers that do not take every number of steps
_MARKED = re.compile(r"[()\"]")  # what begins a weight or a function of Compel's
EXTRAS = {"mediapipe": "pose", "rtmpose": "rtmpose"}  # of pyproject.toml, by detector


def check_models(recipe: Recipe, brought: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the detectors whose weights are missing and whose maps may be blank then (`when_missing: blank`).

    `brought` names the detectors that are not needed, because the manifest brings every map of theirs.
    Raises `ModelError` for anything else that is missing, and for weights that are not those a recipe is locked to;
    `RecipeError` for what a scheduler does not have or cannot do, prompts that cannot be read, and a base that does not
    go with the mode or has fewer layers than are to be left out.
    """
    if recipe.mode != "maps":
        _check_scheduler(recipe)
        check_reference(recipe)
    located = {need.role: locate(need) for need in model_requirements(recipe)}
    for found in located.values():
        if found.requirement.sha256:
            found.checked_digest()
    if located:
        whole = located.get("config", located["base"]).folder
        _check_family(whole, {role: found.folder for role, found in located.items() if role.startswith("controlnet-")})
        _check_channels(recipe, whole)
        _check_clip_skip(recipe, whole)
        _check_prompts(recipe, whole)
        _try_scheduler(recipe, whole)
    for settings in recipe.detectors:
        if settings.name not in brought:
            _check_library(settings)
    needs = [(settings, need) for settings, need in detector_requirements(recipe) if settings.name not in brought]
    blank = recipe.may_be_blank
    return frozenset(settings.name for settings, need in needs if _must_be_blank(need, allowed=settings.name in blank))


def unpinned_models(recipe: Recipe, blank: frozenset[str] = frozenset()) -> list[str]:
    """Name the hub repositories that the recipe takes from a branch, but for the detectors `blank`."""
    of_detectors = [need for settings, need in detector_requirements(recipe) if settings.name not in blank]
    return [f"{need.name}@{need.revision}" for need in [*model_requirements(recipe), *of_detectors] if not need.pinned]


def _check_family(base: Path, nets: dict[str, Path]) -> None:
    """Refuse nets of another family than the base's: they would fail in the middle of their first picture."""
    width = _text_width(base / "unet")
    for role, folder in nets.items():
        found = _text_width(folder)
        if found != width:
            family = "Stable Diffusion XL" if is_sdxl(base) else "Stable Diffusion 1 or 2"
            message = f"{role} was made for a text width of {found}, the base ({family}) has {width}"
            raise ModelError(message, "Choose nets of the base model's family.")


def _check_scheduler(recipe: Recipe) -> None:
    """Refuse a setting that the scheduler does not have: diffusers would ignore it in silence."""
    if not recipe.scheduler.settings:
        return  # and no need for diffusers, whose import takes seconds
    import diffusers

    known = inspect.signature(getattr(diffusers, recipe.scheduler.name)).parameters
    for name, value in recipe.scheduler.settings.items():
        if name in known and isinstance(known[name].default, bool) and not isinstance(value, bool):
            message = f"recipe {recipe.name}: {recipe.scheduler.name}'s {name} is {value!r}"
            raise RecipeError(message, "Write true or false.")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            message = f"recipe {recipe.name}: {recipe.scheduler.name} has no setting {name!r}"
            raise RecipeError(message + (f" (is {near[0]} meant?)" if near else ""), f"It has {', '.join(known)}.")


def check_reference(recipe: Recipe) -> None:
    """Refuse a reference picture that is not there, or another than the recipe is locked to. Raises `ModelError`."""
    found = reference_digest(recipe)
    if recipe.ip_adapter and found and recipe.ip_adapter.reference_sha256 not in (None, found):
        uri = storage.redact(recipe.ip_adapter.reference or "")
        message = (
            f"ip_adapter.reference {uri}: is {found}, the recipe is locked to {recipe.ip_adapter.reference_sha256}"
        )
        raise ModelError(message, "Restore it, or lock the recipe anew: photo2anime recipes lock.")


def _check_channels(recipe: Recipe, base: Path) -> None:
    """Refuse a base that was made for inpainting where nothing is painted into a photo."""
    inpaints = json.loads((base / "unet" / "config.json").read_text()).get("in_channels") == INPAINT_CHANNELS
    if inpaints and (recipe.mode != "inpaint" or recipe.upscale):
        message = f"recipe {recipe.name}: its base was made for inpainting alone"
        raise RecipeError(message, "Set mode: inpaint without upscale, or take the plain checkpoint.")


def _check_clip_skip(recipe: Recipe, base: Path) -> None:
    """Refuse to leave out more layers of a text encoder than it has."""
    if not recipe.clip_skip:
        return
    configs = [path for name in ("text_encoder", "text_encoder_2") if (path := base / name / "config.json").is_file()]
    layers = min(int(json.loads(path.read_text()).get("num_hidden_layers", DEFAULT_TEXT_LAYERS)) for path in configs)
    most = layers - 1 if is_sdxl(base) else layers  # XL leaves out one of its own accord
    if recipe.clip_skip > most:
        message = f"recipe {recipe.name}: clip_skip {recipe.clip_skip}: a text encoder of its base has {layers} layers"
        raise RecipeError(message, f"Leave out {most} at most.")


def _check_prompts(recipe: Recipe, base: Path) -> None:
    """Refuse weights and functions in the recipe's prompts that cannot be read, which every picture would fail by."""
    for kind, template in (("prompt", recipe.prompt), ("negative_prompt", recipe.negative_prompt)):
        if not _MARKED.search(template):
            continue  # and no need for what reads it, whose import takes seconds
        from pipeline.recipes.prompt_weights import parse_prompt

        try:
            parse_prompt(
                render_prompt(template, dict.fromkeys(template_columns(template), "x"), recipe.seed), xl=is_sdxl(base)
            )
        except (PromptError, ValueError) as error:
            message = f"recipe {recipe.name}: {kind}: {error}"
            raise RecipeError(message, "Weights are written (word)1.3, (word:1.3) or word++.") from error


def _try_scheduler(recipe: Recipe, base: Path) -> None:
    """Let a scheduler with settings, or one that is particular, make its steps. Raises `RecipeError`."""
    if not recipe.scheduler.settings and recipe.scheduler.name not in STEP_SENSITIVE_SCHEDULERS:
        return  # and no need for diffusers, whose import takes seconds
    import diffusers

    config, finite = json.loads((base / "scheduler" / "scheduler_config.json").read_text()), True
    try:
        kind = getattr(diffusers, recipe.scheduler.name)
        for share in _shares(recipe):
            finite = finite and _walked(kind.from_config(config, **recipe.scheduler.settings), recipe.steps, share)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        said = " ".join(str(error).split()).partition(". ")[0]
        message = f"recipe {recipe.name}: {recipe.scheduler.name} does not take {recipe.steps} steps so ({said})"
        raise RecipeError(message, "Change scheduler.settings or steps.") from error
    if not finite:
        message = f"recipe {recipe.name}: with these settings {recipe.scheduler.name} leaves the finite numbers"
        raise RecipeError(message, "Change scheduler.settings.")


def _shares(recipe: Recipe) -> list[float | None]:
    """Return of each pass of a recipe the share of the steps that it makes, None where it begins with noise alone."""
    first = None if recipe.mode == "text2img" else recipe.strength
    return [first, *([recipe.upscale.strength] if recipe.upscale else [])]


def _walked(scheduler: Any, steps: int, share: float | None) -> bool:  # noqa: ANN401 - schedulers share no type
    """Let a scheduler make its steps with latents of noise, as a pass does; tell whether they stay finite."""
    import torch

    random = torch.Generator().manual_seed(0)
    more = {"generator": random} if "generator" in inspect.signature(scheduler.step).parameters else {}
    scheduler.set_timesteps(steps)
    timesteps, latents = scheduler.timesteps, torch.randn(1, 4, 8, 8, generator=random)
    if share is not None and not scheduler.config.get("skip_prk_steps", True):
        message = (
            "its Runge-Kutta steps are more than a pass counts that begins with a picture, set skip_prk_steps: true"
        )
        raise ValueError(message)
    if share is None:
        latents *= scheduler.init_noise_sigma
    else:
        begin = (steps - min(int(steps * share), steps)) * scheduler.order
        timesteps = timesteps[begin:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        latents = scheduler.add_noise(latents, torch.randn(latents.shape, generator=random), timesteps[:1])
    for timestep in timesteps:
        seen = scheduler.scale_model_input(latents, timestep)
        latents = scheduler.step(seen * 0.5, timestep, latents, **more, return_dict=False)[0]
    return bool(latents.isfinite().all())


def _text_width(folder: Path) -> int:
    """Return the width of the text embeddings that a UNet or a ControlNet takes: it tells the model families apart."""
    try:
        return int(json.loads((folder / "config.json").read_text())["cross_attention_dim"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"{folder / 'config.json'} is no configuration of a UNet or ControlNet"
        raise ModelError(message, "Name a folder in diffusers' layout.") from error


def _must_be_blank(need: ModelRequirement, *, allowed: bool) -> bool:
    """Tell whether a detector's weights are missing, and may be; raise `ModelError` where they may not."""
    try:
        found = locate(need)
    except ModelError:
        if allowed and (need.on_hub or "://" in need.name):  # a folder that somebody names is meant
            return True
        raise
    if need.sha256:
        found.checked_digest()
    return False


def _check_library(settings: DetectorSettings) -> None:
    """Raise `ModelError` where the library that does a detector's work is an extra, and not installed."""
    try:
        version(settings.library)
    except PackageNotFoundError as error:
        extra = EXTRAS[settings.name]
        message = f"detector {settings.name}: {settings.library} is not installed"
        raise ModelError(message, f"Install it: pip install 'photo2anime[{extra}]'.") from error
