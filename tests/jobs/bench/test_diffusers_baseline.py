"""The diffusers baseline of the benchmark generates the same images as photo2anime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.bench.diffusers_baseline import DiffusersBaseline
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS
from tests import tiny

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
TOLERANCE = 2  # of 255: different batches, prompt encoders and optimizations round sums differently


@pytest.mark.parametrize(
    ("family", "mode"), [("sd", "text2img"), ("sd", "img2img"), ("sd", "inpaint"), ("sdxl", "img2img")]
)
def test_baseline_generates_the_same_images(families: dict[str, Path], family: str, mode: str) -> None:
    recipe = tiny.tiny_recipe(families[family], mode, 2, guidance=5.0, region={"soften": 0})
    requests = tiny.tiny_requests(2, 2, mode)
    images = ImageGenerator(recipe).generate(requests)
    baseline = DiffusersBaseline(ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS), recipe)
    singles = [baseline.one(request)[0] for request in requests]
    batch = baseline.batch(requests)
    for request, image, *expected in zip(requests, images, singles, batch, strict=True):
        assert image.pixels is not None
        region = request.inpaint_region if request.inpaint_region is not None else np.ones((64, 64), np.bool_)
        for reference_image in expected:
            difference = np.abs(np.asarray(reference_image).astype(int) - image.pixels)[region]
            assert difference.max() <= TOLERANCE


def test_baseline_uses_the_same_ip_adapter_reference(sd: Path, tmp_path: Path) -> None:
    adapter = tiny.write_ip_adapter(sd / "base", tmp_path)
    recipe = tiny.tiny_recipe(sd, "img2img", 2, guidance=5.0, ip_adapter=adapter)
    reference = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    requests = [replace(request, reference=reference) for request in tiny.tiny_requests(2, 2)]
    images = ImageGenerator(recipe).generate(requests)
    baseline = DiffusersBaseline(ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS), recipe)
    singles = [baseline.one(request)[0] for request in requests]
    for image, *expected in zip(images, singles, baseline.batch(requests), strict=True):
        assert image.pixels is not None
        for reference_image in expected:
            assert np.abs(np.asarray(reference_image).astype(int) - image.pixels).max() <= TOLERANCE
