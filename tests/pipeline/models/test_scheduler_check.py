"""Checks of the scheduler before a run: unknown settings, and steps that fail."""

import pytest

from pipeline.errors import SchedulerError
from pipeline.models.checks import check_models
from pipeline.recipes.load import load_recipe


def test_an_unknown_setting_is_refused_with_a_suggestion() -> None:
    recipe = load_recipe("demo", ["scheduler.settings={use_karas_sigmas: true}"])
    with pytest.raises(SchedulerError, match="'use_karas_sigmas'.*use_karras_sigmas"):
        check_models(recipe)


def test_a_boolean_setting_must_be_a_boolean() -> None:
    recipe = load_recipe("demo", ["scheduler={name: DDIMScheduler, settings: {clip_sample: no}}"])
    with pytest.raises(SchedulerError, match="clip_sample is 'no'"):
        check_models(recipe)


def test_the_scheduler_runs_the_steps_of_its_pass() -> None:
    # These settings fail at the first two timesteps, which are equal.
    settings = ["scheduler.settings={use_beta_sigmas: true}", "steps=40"]
    assert check_models(load_recipe("demo", settings)) == {"openpose", "depth"}  # img2img skips these timesteps
    with pytest.raises(SchedulerError, match="40 steps"):
        check_models(load_recipe("demo", [*settings, "mode=text2img"]))


@pytest.mark.parametrize(
    "settings",
    [
        ["scheduler={name: LCMScheduler}", "steps=60"],
        ["scheduler={name: PNDMScheduler}"],
        ["scheduler.settings={prediction_type: v-prediction}"],
        ["scheduler.settings={use_karras_sigmas: true, use_exponential_sigmas: true}"],
        ["scheduler={name: DDIMScheduler, settings: {clip_sample: true, clip_sample_range: abc}}"],
        ["scheduler={name: DPMSolverMultistepScheduler, settings: {algorithm_type: sde-dpmsolver-typo}}"],
        ["scheduler={name: UniPCMultistepScheduler, settings: {use_beta_sigmas: true}}", "steps=40", "mode=text2img"],
    ],
)
def test_a_scheduler_whose_steps_fail_is_refused(settings: list[str]) -> None:
    recipe = load_recipe("demo", settings)
    with pytest.raises(SchedulerError, match=rf"{recipe.scheduler.name} .*\b{recipe.steps} steps") as caught:
        check_models(recipe)
    assert caught.value.__cause__ is not None


def test_a_scheduler_with_infinite_values_is_refused() -> None:
    recipe = load_recipe("demo", ["scheduler={name: DDIMScheduler, settings: {beta_start: 5}}"])
    with pytest.raises(SchedulerError, match="DDIMScheduler") as caught:
        check_models(recipe)
    assert caught.value.__cause__ is None
