"""DeepCache: the UNet runs completely at fewer steps, and the cache is cleared between batches."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.diffusion.generator import ImageGenerator, eager_reason
from tests.tiny import pixel_difference, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def record_calls(generator: ImageGenerator) -> list[str]:
    """Return a list that records the calls of an inner and an outer layer of the UNet."""
    unet, calls = generator.pipe.unet, list[str]()
    # DeepCache replaces the forward method of a block, so the hook is on a child of the block.
    unet.mid_block.attentions[0].register_forward_pre_hook(lambda *_: calls.append("inner"))
    unet.conv_in.register_forward_pre_hook(lambda *_: calls.append("outer"))
    return calls


def test_inner_blocks_run_at_every_nth_step_of_each_batch(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd, steps=10, strength=0.5, deep_cache=2))
    calls = record_calls(generator)
    requests = tiny_requests(2)
    images = generator.generate(requests)
    # Two batches of five steps each: the 1st, 3rd and 5th run completely.
    assert (calls.count("outer"), calls.count("inner")) == (2 * 5, 2 * 3)
    reversed_images = generator.generate(requests[::-1])[::-1]
    assert max(pixel_difference(*pair) for pair in zip(images, reversed_images, strict=True)) == 0
    (uncached,) = ImageGenerator(tiny_recipe(sd, steps=10, strength=0.5)).generate(requests[:1])
    assert pixel_difference(images[0], uncached) > 0


@pytest.mark.parametrize("scheduler", ["HeunDiscreteScheduler", "PNDMScheduler", "EulerDiscreteScheduler"])
def test_unet_calls_are_counted_with_every_scheduler(sd: Path, scheduler: str) -> None:
    recipe = tiny_recipe(sd, scheduler={"name": scheduler}, steps=8, strength=1.0, deep_cache=2)
    generator = ImageGenerator(recipe)
    calls = record_calls(generator)
    generator.generate(tiny_requests(1))
    assert calls.count("inner") == -(-calls.count("outer") // 2)


def test_second_pass_starts_with_an_empty_cache(sd: Path) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 16}
    generator = ImageGenerator(tiny_recipe(sd, steps=8, strength=1.0, deep_cache=3, upscale=upscale))
    requests = tiny_requests(2)
    images = generator.generate(requests)
    assert pixel_difference(generator.generate(requests[1:])[0], images[1]) == 0


@pytest.mark.parametrize("setting", [{"guidance_end": 0.5}, {"compile": "on"}])
def test_settings_that_exclude_deep_cache_are_invalid(sd: Path, setting: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="deep_cache"):
        tiny_recipe(sd, deep_cache=2, **setting)


def test_deep_cache_disables_compilation(sd: Path) -> None:
    assert "deep_cache" in (eager_reason(tiny_recipe(sd, deep_cache=2), on_gpu=True) or "")
