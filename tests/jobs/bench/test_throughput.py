"""The converter's rows: every gain in its turn, every size, and what cannot be measured says so."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from jobs.bench import throughput
from jobs.bench.throughput import OPTIMIZATIONS, Bench, Measurement, bench_requests, sound, suggested
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.request import GeneratedImage
from pipeline.errors import RunStoppedError
from pipeline.recipes.load import load_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]
SMALL = ("area=4096", "steps=2", "controls.depth.end=0.5", "strength=1.0")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(load_recipe("demo", SMALL), [2, 1], 1)


def test_every_gain_has_a_row() -> None:
    assert list(OPTIMIZATIONS) == [field.name for field in fields(Optimizations)]


def test_plain_calls_stand_beside_ours_at_every_size(bench: Bench) -> None:
    plain, ours = list(bench.plain()), list(bench.sizes())
    assert [(row.what, row.batch_size) for row in plain] == [
        ("a tutorial's call, PIL in and out", 1), ("diffusers with a batch", 1), ("diffusers with a batch", 2),
    ]  # fmt: skip
    assert [(row.what, row.batch_size) for row in ours] == [("ours", 1), ("ours", 2)]
    for row in (*plain, *ours):
        assert row.pace
        assert row.peak
        assert row.flop
    # The depth net is silent in one of two steps, and each map is embedded once: that is less to do, by what is known.
    assert 0.6 < (ours[0].flop or 0) / (plain[0].flop or 1) < 0.95


def test_what_ours_is_measured_against_takes_no_short_cut() -> None:
    recipe = load_recipe("demo", [*SMALL[:1], "steps=4", "strength=1.0"])
    (plain, *_), (swift, *_) = (
        list(Bench(each, [1], 1).plain()) for each in (recipe, recipe.model_copy(update={"deep_cache": 4}))
    )
    assert plain.flop == swift.flop


def test_a_rate_is_of_one_core_where_a_core_draws(bench: Bench) -> None:
    torch.set_num_threads(2)
    assert bench.rate() > 1e9
    assert torch.get_num_threads() == 1


def test_with_compilation_its_seconds_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.diffusion import generator
    from pipeline.diffusion.compile import ModelCompiler

    monkeypatch.setattr(generator, "Compiled", lambda pipes, cache: ModelCompiler(pipes, cache, "eager"))
    (row,) = Bench(load_recipe("demo", [*SMALL, "compile=on"]), [1], 1).sizes()
    assert row.warming
    assert row.warming > 1 / (row.pace or 1)
    assert row.note == ""


def test_the_smallest_size_that_is_nearly_as_fast_is_suggested() -> None:
    rows = [Measurement("ours", size, pace) for size, pace in ((1, 2.0), (4, 5.9), (8, 6.0), (16, 5.0), (32, None))]
    assert suggested(rows) == 4
    assert suggested([replace(row, pace=None) for row in rows]) is None


def test_a_share_is_of_what_the_chip_does() -> None:
    assert Measurement("ours", 1, pace=5.0, flop=2e12).share(40e12) == 0.25
    assert Measurement("ours", 1).share(40e12) is None


def test_pictures_that_were_drawn_again_are_not_measured() -> None:
    with pytest.raises(RunStoppedError, match="their pace says nothing"):
        sound([GeneratedImage(None, 1)])
    with pytest.raises(RunStoppedError, match="their pace says nothing"):
        sound([replace(GeneratedImage(None, 1, ("drawn again in float32",)))])


def test_a_size_that_memory_does_not_hold_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.diffusion.sampling import Sampler

    latents = Sampler.latents

    def limited(self: Sampler, requests: Any, *more: Any) -> Any:
        if len(requests) > 1:
            raise torch.OutOfMemoryError
        return latents(self, requests, *more)

    monkeypatch.setattr(Sampler, "latents", limited)
    one, two = bench.sizes()
    assert one.pace
    assert (two.pace, two.note) == (None, "memory holds 1 at once")

    def failing(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(throughput.Tutorial, "batch", failing)
    monkeypatch.setattr(throughput.chip, "flop", lambda _call: 1)
    assert [row.note for row in bench.plain()] == ["", *["memory does not hold it"] * 2]


@pytest.mark.parametrize("mode", ["img2img", "inpaint"])
def test_requests_are_of_the_recipes_size_and_mode(mode: str) -> None:
    recipe = load_recipe("demo", ["prompt='{title}, {red|blue}'", 'aspect_ratios=["3:2"]', f"mode={mode}"])
    requests = bench_requests(recipe, 3)
    width, height = recipe.buckets[0]
    assert {request.photo.shape for request in requests} == {(height, width, 3)}
    assert [request.seed for request in requests] == [0, 1, 2]
    assert requests[0].prompt.startswith("a photo, ")
    assert (requests[0].inpaint_region is not None) == (mode == "inpaint")
