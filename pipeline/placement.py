"""Where detectors run: beside the converter on the GPU of a run that has one, or on CPU threads."""

from schemas.detectors import NetworkSettings
from schemas.recipe import Control, Recipe


def on_gpu(recipe: Recipe) -> frozenset[str]:
    """Name the detectors that join the converter on a GPU: those that gain from it, but where the recipe says no."""
    return frozenset(control.detector.name for control in recipe.controls if _joins(control))


def _joins(control: Control) -> bool:
    settings = control.detector
    able = isinstance(settings, NetworkSettings) and settings.gains_from_gpu and bool(settings.files)
    return able and control.device != "cpu"
