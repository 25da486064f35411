"""The measurements of image generation: what is compared, what is suggested, and what fails."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.bench.diffusers_baseline import DiffusersBaseline
from jobs.bench.throughput import (
    OPTIMIZATIONS,
    Bench,
    Measurement,
    bench_requests,
    require_first_attempt,
    suggested,
)
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.request import GeneratedImage
from pipeline.diffusion.sampling import Sampler
from pipeline.errors import RunStoppedError
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe
from tests.tiny import tiny_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def recipe(sd: Path) -> Recipe:
    """Return a recipe of two steps, whose second ControlNet is active in the first step only."""
    tiny = tiny_recipe(sd, "img2img", 2, steps=2, strength=1.0)
    first, second = tiny.controls
    return tiny.model_copy(update={"controls": (first, second.model_copy(update={"end": 0.5}))})


def test_every_optimization_is_in_the_benchmark() -> None:
    assert list(OPTIMIZATIONS) == [field.name for field in fields(Optimizations)]


def test_baseline_and_photo2anime_are_measured_at_every_batch_size(recipe: Recipe) -> None:
    bench = Bench(recipe, [2, 1], 1)
    baseline, optimized = list(bench.plain()), list(bench.sizes())
    assert [row.batch_size for row in baseline] == [1, 1, 2]
    assert [row.batch_size for row in optimized] == [1, 2]
    for row in (*baseline, *optimized):
        assert row.pace
        assert row.peak
        assert row.flop
    # photo2anime skips the second ControlNet in one of two steps, and embeds each map once.
    assert 0.6 < (optimized[0].flop or 0) / (baseline[0].flop or 1) < 0.95


def test_deep_cache_does_not_change_the_baseline(recipe: Recipe) -> None:
    recipes = (recipe, recipe.model_copy(update={"deep_cache": 2}))
    without, with_cache = (next(Bench(each, [1], 1).plain()) for each in recipes)
    assert without.flop == with_cache.flop


def test_smallest_batch_size_near_the_fastest_is_suggested() -> None:
    paces = ((1, 2.0), (4, 5.9), (8, 6.0), (16, 5.0), (32, None))
    rows = [Measurement("photo2anime", size, pace) for size, pace in paces]
    assert suggested(rows) == 4
    assert suggested([replace(row, pace=None) for row in rows]) is None


def test_utilization_is_a_share_of_the_matrix_rate() -> None:
    assert Measurement("photo2anime", 1, pace=5.0, flop=2e12).utilization(40e12) == 0.25
    assert Measurement("photo2anime", 1).utilization(40e12) is None


@pytest.mark.parametrize("image", [GeneratedImage(None, 1), GeneratedImage(None, 1, ("generated in float32",))])
def test_retried_images_are_not_measured(image: GeneratedImage) -> None:
    with pytest.raises(RunStoppedError):
        require_first_attempt([image])


def test_a_batch_size_that_does_not_fit_in_memory_has_a_note(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    latents = Sampler.latents

    def fail_above_one(self: Sampler, requests: Any, *more: Any) -> Any:
        if len(requests) > 1:
            raise torch.OutOfMemoryError
        return latents(self, requests, *more)

    monkeypatch.setattr(Sampler, "latents", fail_above_one)
    bench = Bench(recipe, [1, 2], 1)
    one, two = bench.sizes()
    assert one.pace
    assert (two.pace, two.note) == (None, "out of memory; largest batch: 1")

    batch = DiffusersBaseline.batch

    def fail_batches_above_one(self: DiffusersBaseline, requests: Any) -> Any:
        if len(requests) > 1:
            raise torch.OutOfMemoryError
        return batch(self, requests)

    monkeypatch.setattr(DiffusersBaseline, "batch", fail_batches_above_one)
    assert [row.note for row in bench.plain()] == ["", "", "out of memory"]


@pytest.mark.parametrize("mode", ["img2img", "inpaint"])
def test_requests_have_the_size_and_mode_of_the_recipe(mode: str) -> None:
    recipe = load_recipe("demo", ["prompt='{title}, {red|blue}'", 'aspect_ratios=["3:2"]', f"mode={mode}"])
    requests = bench_requests(recipe, 3)
    width, height = recipe.buckets[0]
    assert {request.photo.shape for request in requests} == {(height, width, 3)}
    assert [request.seed for request in requests] == [0, 1, 2]
    assert requests[0].prompt.startswith("a photo, ")
    assert (requests[0].inpaint_region is not None) == (mode == "inpaint")
