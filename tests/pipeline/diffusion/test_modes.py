"""All modes, with one and three ControlNets, for SD and SDXL: batches and optimizations hardly change images."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS
from pipeline.diffusion.request import GenerationRequest
from tests.tiny import pixel_difference, tiny_recipe, tiny_requests, write_sd

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
MODES = ("text2img", "img2img", "inpaint")
UPSCALE = "img2img with upscale"
SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler",
    "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip


def assert_latents_agree(generator: ImageGenerator, requests: list[GenerationRequest], *indices: int) -> None:
    """Assert that the latents of images are the same alone and in a batch, to 1e-5 of the largest value."""
    sampler, device, dtype = generator._passes[0], generator.device, generator._dtype
    together = sampler.latents(requests[::-1], device, dtype).flip(0)  # [N, C, h, w]
    assert together.isfinite().all()
    for index in indices:
        single = sampler.latents(requests[index : index + 1], device, dtype)[0]
        assert (single - together[index]).abs().max() <= 1e-5 * single.abs().max()


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("nets", [1, 3])
@pytest.mark.parametrize("mode", [*MODES, UPSCALE])
def test_images_do_not_depend_on_process_batch_or_optimizations(
    families: dict[str, Path], family: str, nets: int, mode: str
) -> None:
    tiles = {"net": {"name": str(families[family] / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 0}
    mode, upscale = ("img2img", tiles) if mode == UPSCALE else (mode, None)
    count = 2 if upscale else 5  # two upscaled images have eight tiles, more than one batch
    recipe, requests = tiny_recipe(families[family], mode, nets, upscale=upscale), tiny_requests(count, nets, mode)
    generator = ImageGenerator(recipe)
    images = generator.generate(requests)
    (again,) = ImageGenerator(recipe).generate(requests[1:2])
    assert (again.pixels == images[1].pixels).all()
    if not upscale:
        assert_latents_agree(generator, requests, 3)
    generator.resize(5)
    batched = generator.generate(requests[::-1])[::-1]
    unoptimized = ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS).generate(requests[:2])
    assert max(pixel_difference(*pair) for pair in zip(images, batched, strict=True)) <= 1
    assert max(pixel_difference(*pair) for pair in zip(images, unoptimized, strict=False)) <= 1
    assert all((one.pixels != other.pixels).any() for one, other in itertools.pairwise(images))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_latents_do_not_depend_on_the_batch_with_any_scheduler(sd: Path, scheduler: str) -> None:
    generator = ImageGenerator(tiny_recipe(sd, scheduler={"name": scheduler}, steps=6))
    assert_latents_agree(generator, tiny_requests(5), 0, 3)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_inpainting_changes_only_pixels_in_the_region(families: dict[str, Path], family: str) -> None:
    (request,) = tiny_requests(1, 1, "inpaint")
    recipe = tiny_recipe(families[family], "inpaint", region={"soften": 3})
    (image,) = ImageGenerator(recipe).generate([request])
    assert image.pixels is not None
    assert request.inpaint_region is not None
    changed = (image.pixels != request.photo).any(axis=2)  # [H, W], bool
    assert not (changed & ~request.inpaint_region).any()
    inside = np.zeros_like(request.inpaint_region)
    inside[12:36, 20:52] = True
    assert changed[inside].mean() > 0.9


@pytest.mark.parametrize("soften", [0, 4, 64])
def test_narrow_region_is_painted_with_soft_edges(sd: Path, soften: int) -> None:
    (request,) = tiny_requests(1, 1, "inpaint")
    narrow = np.zeros_like(request.inpaint_region)
    narrow[8:40, 30:38] = True
    generator = ImageGenerator(tiny_recipe(sd, "inpaint", region={"soften": soften}))
    (image,) = generator.generate([replace(request, inpaint_region=narrow)])
    assert image.pixels is not None
    difference = np.abs(image.pixels.astype(int) - request.photo)
    assert difference[~narrow].max() == 0
    edge, middle = difference[12:36, [30, 37]].mean(), difference[12:36, 33:35].mean()
    assert middle > 3
    assert (edge < 0.5 * middle) == bool(soften)


def test_inpainting_base_with_9_channels_generates_an_image(tmp_path: Path, sd: Path) -> None:
    write_sd(tmp_path / "base", in_channels=9)
    recipe = tiny_recipe(sd, "inpaint", base={"name": str(tmp_path / "base")})
    (image,) = ImageGenerator(recipe).generate(tiny_requests(1, 1, "inpaint"))
    assert image.pixels is not None


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("mode", MODES)
def test_unet_batch_with_early_end_of_guidance_and_guess_mode(
    families: dict[str, Path], family: str, mode: str
) -> None:
    def unet_batches(**changes: float) -> list[int]:
        """Generate two images in one batch, and return the number of latents in each call of the UNet."""
        recipe = tiny_recipe(families[family], mode, 2, guidance=5.0, strength=1.0, **changes)
        generator = ImageGenerator(recipe)
        generator.resize(2)
        calls: list[int] = []
        generator.pipe.unet.register_forward_pre_hook(lambda _unet, args: calls.append(len(args[0])))
        assert all(image.pixels is not None for image in generator.generate(tiny_requests(2, 2, mode)))
        return calls

    # Guidance doubles the latents of two images at each of four steps.
    assert unet_batches() == [4] * 4
    assert unet_batches(guidance_end=0.5) == [4, 4, 2, 2]
    assert unet_batches(guess_mode=True) == [4] * 4
