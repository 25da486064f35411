"""Check the scheduler of a recipe: diffusers ignores unknown settings, and fails late for unsupported ones."""

import difflib
import inspect
import json
from pathlib import Path
from typing import Any

from pipeline.errors import SchedulerError
from schemas.recipe import Recipe

_STEP_SENSITIVE = ("LCMScheduler", "TCDScheduler", "PNDMScheduler")  # these support only some numbers of steps
_STEP_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)


def check_scheduler_settings(recipe: Recipe) -> None:
    """Check the names of the scheduler settings, and the types of boolean ones.

    Raises:
        SchedulerError: A setting is unknown or invalid.
    """
    if not recipe.scheduler.settings:
        return  # avoids the import of diffusers, which takes seconds
    import diffusers

    scheduler = recipe.scheduler.name
    parameters = inspect.signature(getattr(diffusers, scheduler)).parameters
    for name, value in recipe.scheduler.settings.items():
        if name not in parameters:
            similar = difflib.get_close_matches(name, parameters, 1)
            suggestion = f" (did you mean {similar[0]}?)" if similar else ""
            raise SchedulerError(
                f"recipe {recipe.name}: {scheduler} has no setting {name!r}{suggestion}",
                f"Choose one of {', '.join(parameters)}.",
            )
        if isinstance(parameters[name].default, bool) and not isinstance(value, bool):
            raise SchedulerError(
                f"recipe {recipe.name}: {scheduler}: {name} is {value!r}, not a boolean", "Write true or false."
            )


def check_scheduler_steps(recipe: Recipe, base: Path) -> None:
    """Run the steps of the scheduler on random latents, if it has settings or supports only some numbers of steps.

    Raises:
        SchedulerError: A step failed, or returned values that are not finite.
    """
    if not recipe.scheduler.settings and recipe.scheduler.name not in _STEP_SENSITIVE:
        return  # avoids the import of diffusers, which takes seconds
    import diffusers

    scheduler, steps, finite = recipe.scheduler.name, recipe.steps, True
    config = json.loads((base / "scheduler" / "scheduler_config.json").read_text())
    try:
        for strength in _strengths(recipe):
            instance = getattr(diffusers, scheduler).from_config(config, **recipe.scheduler.settings)
            finite = finite and _run_steps(instance, steps, strength)
    except _STEP_ERRORS as error:
        reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__
        raise SchedulerError(
            f"recipe {recipe.name}: {scheduler} failed with {steps} steps and the settings of the recipe: {reason}"
        ) from error
    if not finite:
        raise SchedulerError(f"recipe {recipe.name}: {scheduler} returned values that are not finite")


def _strengths(recipe: Recipe) -> list[float | None]:
    """Return the strength of each pass: the fraction of the steps that it runs, or None if it starts from noise."""
    first = None if recipe.mode == "text2img" else recipe.strength
    return [first, *([recipe.upscale.strength] if recipe.upscale else [])]


def _run_steps(scheduler: Any, steps: int, strength: float | None) -> bool:  # noqa: ANN401 - the schedulers of diffusers have no common type
    """Run the steps of one pass on random latents, as the pipelines of diffusers do.

    Returns:
        Whether all resulting values are finite.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    arguments = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    scheduler.set_timesteps(steps)
    timesteps, latents = scheduler.timesteps, torch.randn(1, 4, 8, 8, generator=generator)
    if strength is not None and not scheduler.config.get("skip_prk_steps", True):
        # Runge-Kutta steps add timesteps. The img2img pipeline, and `begin` below, would start at the wrong one.
        raise ValueError("Runge-Kutta steps cannot start from an image, set skip_prk_steps: true")
    if strength is None:
        latents *= scheduler.init_noise_sigma
    else:
        begin = (steps - min(int(steps * strength), steps)) * scheduler.order
        timesteps = timesteps[begin:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        latents = scheduler.add_noise(latents, torch.randn(latents.shape, generator=generator), timesteps[:1])
    for timestep in timesteps:
        # This replaces the prediction of the UNet. Any finite values would do.
        noise = scheduler.scale_model_input(latents, timestep) * 0.5
        latents = scheduler.step(noise, timestep, latents, **arguments, return_dict=False)[0]
    return bool(latents.isfinite().all())
