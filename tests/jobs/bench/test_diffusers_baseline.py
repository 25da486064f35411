"""The plain calls that ours is measured against draw the very same picture: nothing of ours makes it another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.bench.diffusers_baseline import DiffusersBaseline
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("mode", ["text2img", "img2img", "inpaint"])
def test_diffusers_own_way_draws_our_picture(families: dict[str, Path], family: str, mode: str) -> None:
    recipe = tiny.tiny_recipe(families[family], mode, 2, guidance=5.0, region={"soften": 0})
    requests = tiny.asked(2, 2, mode)
    ours = ImageGenerator(recipe).generate(requests)
    tutorial = DiffusersBaseline(ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS), recipe)
    theirs = [tutorial.one(request)[0] for request in requests]
    both = tutorial.batch(requests)
    for request, our, one, other in zip(requests, ours, theirs, both, strict=True):
        assert our.pixels is not None
        drawn = request.inpaint_region if request.inpaint_region is not None else np.ones((64, 64), np.bool_)
        for their in (one, other):
            apart = np.abs(np.asarray(their).astype(int) - our.pixels)[drawn]
            assert apart.max() <= 2  # of 255: diffusers cuts where ours rounds


def test_an_ip_adapters_reference_is_seen_as_ours_sees_it(sd: Path, tmp_path: Path) -> None:
    adapter = tiny.write_ip_adapter(sd / "base", tmp_path)
    recipe = tiny.tiny_recipe(sd, "img2img", 2, guidance=5.0, ip_adapter=adapter)
    reference = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    requests = [replace(request, reference=reference) for request in tiny.asked(2, 2)]
    ours = ImageGenerator(recipe).generate(requests)
    tutorial = DiffusersBaseline(ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS), recipe)
    for our, one, other in zip(ours, map(tutorial.one, requests), tutorial.batch(requests), strict=True):
        assert our.pixels is not None
        for their in (one[0], other):
            assert np.abs(np.asarray(their).astype(int) - our.pixels).max() <= 2


def test_it_hears_seed_photo_and_maps(sd: Path) -> None:
    recipe = tiny.tiny_recipe(sd, "img2img", 2)
    tutorial = DiffusersBaseline(ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS), recipe)
    request, other = tiny.asked(2, 2)
    plain = np.asarray(tutorial.one(request)[0])
    for change in ({"seed": 9}, {"photo": other.photo}, {"maps": other.maps}, {"prompt": "night"}):
        assert (np.asarray(tutorial.one(replace(request, **change))[0]) != plain).any(), change.keys()
