"""Every mode, one net and three, both families: the same picture alone, in a batch, again, and without gains."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS
from pipeline.diffusion.request import GenerationRequest
from tests.tiny import apart, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")
MODES = ("text2img", "img2img", "inpaint")
TILES = "img2img, and tiles"  # as a second pass
SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler",
    "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip


def assert_latents_agree(subject: ImageGenerator, requests: list[GenerationRequest]) -> None:
    """Assert that one of five pictures is the same alone, to 1e-5 of the largest value."""
    one_pass, device, dtype = subject._passes[0], subject._device, subject._dtype
    together = one_pass.latents(requests[::-1], device, dtype)[1]
    alone = one_pass.latents(requests[3:4], device, dtype)[0]
    assert (alone - together).abs().max() <= 1e-5 * alone.abs().max()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("nets", [1, 3])
@pytest.mark.parametrize("mode", [*MODES, TILES])
def test_a_picture_is_the_same_alone_in_any_batch_again_and_without_gains(
    families: dict[str, Path], family: str, nets: int, mode: str
) -> None:
    tiles = {"net": {"name": str(families[family] / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 0}
    mode, upscale = ("img2img", tiles) if mode == TILES else (mode, None)
    count = 2 if upscale else 5  # of four tiles each
    recipe, requests = tiny_recipe(families[family], mode, nets, upscale=upscale), asked(count, nets, mode)
    subject = ImageGenerator(recipe)
    alone = subject.generate(requests)
    again = ImageGenerator(recipe).generate(requests[1:2])
    assert (again[0].pixels == alone[1].pixels).all()
    if not upscale:
        assert_latents_agree(subject, requests)
    subject._size.now = 5
    turned = subject.generate(requests[::-1])[::-1]
    plain = ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS).generate(requests[:2])
    assert max(apart(*both) for both in zip(alone, turned, strict=True)) <= 1  # of 255: latents are within 1e-5
    assert max(apart(*both) for both in zip(alone, plain, strict=False)) <= 1
    pictures = [drawing.pixels for drawing in alone]
    assert all((one != other).any() for one, other in itertools.pairwise(pictures))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_latents_do_not_know_their_batch_whatever_the_scheduler(sd: Path, scheduler: str) -> None:
    subject = ImageGenerator(tiny_recipe(sd, scheduler={"name": scheduler}, steps=6))
    (one_pass,), device, dtype = subject._passes, subject._device, subject._dtype
    requests = asked(5)
    together = one_pass.latents(requests[::-1], device, dtype).flip(0)
    assert together.isfinite().all()
    for number in (0, 3):
        alone = one_pass.latents(requests[number : number + 1], device, dtype)
        assert (alone[0] - together[number]).abs().max() <= 1e-5 * together[number].abs().max()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_what_is_around_a_region_stays_the_photos_own(families: dict[str, Path], family: str) -> None:
    (request,) = asked(1, 1, "inpaint")
    recipe = tiny_recipe(families[family], "inpaint", region={"soften": 3})
    (drawing,) = ImageGenerator(recipe).generate([request])
    assert drawing.pixels is not None
    assert request.inpaint_region is not None
    changed = (drawing.pixels != request.photo).any(axis=2)
    assert not (changed & ~request.inpaint_region).any()
    inside = np.zeros_like(request.inpaint_region)
    inside[12:36, 20:52] = True
    assert changed[inside].mean() > 0.9


@pytest.mark.parametrize("soften", [0, 4, 64])
def test_a_narrow_region_is_painted_and_none_has_a_hard_rim(sd: Path, soften: int) -> None:
    (request,) = asked(1, 1, "inpaint")
    narrow = np.zeros_like(request.inpaint_region)
    narrow[8:40, 30:38] = True
    (drawing,) = ImageGenerator(tiny_recipe(sd, "inpaint", region={"soften": soften})).generate(
        [replace(request, inpaint_region=narrow)]
    )
    assert drawing.pixels is not None
    changed = np.abs(drawing.pixels.astype(int) - request.photo)
    assert changed[~narrow].max() == 0
    rim, middle = changed[12:36, [30, 37]].mean(), changed[12:36, 33:35].mean()
    assert middle > 3
    assert (rim < 0.5 * middle) == bool(soften)


def test_a_base_made_for_inpainting_draws_too(tmp_path: Path, sd: Path) -> None:
    from tests import tiny

    tiny.write_sd(tmp_path / "base", in_channels=9)
    recipe = tiny_recipe(sd, "inpaint", base={"name": str(tmp_path / "base")})
    (drawing,) = ImageGenerator(recipe).generate(asked(1, 1, "inpaint"))
    assert drawing.pixels is not None


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("mode", MODES)
def test_guidance_may_end_early_and_guess_mode_draws(families: dict[str, Path], family: str, mode: str) -> None:
    requests = asked(2, 2, mode)

    def drawn(**changes: float) -> list[int]:
        recipe = tiny_recipe(families[family], mode, 2, guidance=5.0, strength=1.0, **changes)
        subject = ImageGenerator(recipe)
        subject._size.now = 2
        calls: list[int] = []
        subject._passes[0].pipe.unet.register_forward_pre_hook(lambda _unet, given: calls.append(len(given[0])))
        assert all(drawing.pixels is not None for drawing in subject.generate(requests))
        return calls

    assert drawn() == [4] * 4  # two pictures, prompts and negative prompts, at each of four steps
    assert drawn(guidance_end=0.5) == [4, 4, 2, 2]
    assert drawn(guess_mode=True) == [4] * 4
