"""DeepCache: fewer whole steps of the UNet, another picture, and nothing of one batch in the next."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.diffusion.generator import ImageGenerator, eager_reason
from tests.tiny import apart, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


def test_inner_blocks_run_at_every_nth_step_alone_from_the_first_step_of_each_batch(sd: Path) -> None:
    subject = ImageGenerator(tiny_recipe(sd, steps=10, strength=0.5, deep_cache=2))
    unet, calls = subject._passes[0].pipe.unet, list[str]()
    # The library wraps a block's forward: its children's are what runs.
    unet.mid_block.attentions[0].register_forward_pre_hook(lambda *_: calls.append("inner"))
    unet.conv_in.register_forward_pre_hook(lambda *_: calls.append("outer"))
    requests = asked(2)
    once = subject.generate(requests)
    assert (calls.count("outer"), calls.count("inner")) == (2 * 5, 2 * 3)  # five steps each: the 1st, 3rd and 5th whole
    again = subject.generate(requests[::-1])[::-1]
    assert max(apart(*both) for both in zip(once, again, strict=True)) == 0
    (plain,) = ImageGenerator(tiny_recipe(sd, steps=10, strength=0.5)).generate(requests[:1])
    assert apart(once[0], plain) > 0


@pytest.mark.parametrize("scheduler", ["HeunDiscreteScheduler", "PNDMScheduler", "EulerDiscreteScheduler"])
def test_calls_are_counted_whatever_the_scheduler_calls_its_steps(sd: Path, scheduler: str) -> None:
    recipe = tiny_recipe(sd, scheduler={"name": scheduler}, steps=8, strength=1.0, deep_cache=2)
    subject, calls = ImageGenerator(recipe), list[str]()
    subject.pipe.unet.mid_block.attentions[0].register_forward_pre_hook(lambda *_: calls.append("inner"))
    subject.pipe.unet.conv_in.register_forward_pre_hook(lambda *_: calls.append("outer"))
    subject.generate(asked(1))
    assert calls.count("inner") == -(-calls.count("outer") // 2)


def test_a_second_pass_counts_its_own_steps(sd: Path) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 16}
    subject = ImageGenerator(tiny_recipe(sd, steps=8, strength=1.0, deep_cache=3, upscale=upscale))
    requests = asked(2)
    larger = subject.generate(requests)
    assert apart(subject.generate(requests[1:])[0], larger[1]) == 0


def test_what_it_does_not_go_with_is_refused(sd: Path) -> None:
    for other in ({"guidance_end": 0.5}, {"compile": "on"}):
        with pytest.raises(ValidationError, match="deep_cache goes neither with guidance_end nor with compile: on"):
            tiny_recipe(sd, deep_cache=2, **other)
    assert "deep_cache" in (eager_reason(tiny_recipe(sd, deep_cache=2), on_gpu=True) or "")
