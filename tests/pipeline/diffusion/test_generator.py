"""Image generation with the demo model: each input changes its own image of a batch, and no other image."""

import itertools
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.detectors.canny import Canny
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings, InpaintSettings
from tests import edge_metrics
from tests.conftest import ROOT, TINY, recipe_of

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
Batch = dict[str, Any]
Images = NDArray[np.uint8]
N = 3


@cache
def load_generator(*settings: str) -> ImageGenerator:
    return ImageGenerator(load_recipe("demo", [*TINY, "steps=4", *settings]))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Create N photos with three control maps each, of random pixels."""
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (N, 64, 64, 3), np.uint8) for _ in range(4))  # [N, H, W, 3] each
    return {"photos": photos, "maps": maps, "prompts": [("anime", "photo")] * N, "seeds": [11, 12, 13]}


def select(batch: Batch, index: int) -> Batch:
    """Return a batch with one image of a batch."""
    rows = slice(index, index + 1)
    return {
        "photos": batch["photos"][rows],
        "maps": [maps[rows] for maps in batch["maps"]],
        "prompts": batch["prompts"][rows],
        "seeds": batch["seeds"][rows],
    }


def to_requests(batch: Batch) -> list[GenerationRequest]:
    return [
        GenerationRequest(photo, tuple(maps), prompt, negative, seed)
        for photo, maps, (prompt, negative), seed in zip(
            batch["photos"], zip(*batch["maps"], strict=True), batch["prompts"], batch["seeds"], strict=True
        )
    ]


def generate(batch: Batch, *settings: str) -> Images:
    """Generate the images of a batch, [N, H, W, 3]."""
    images = load_generator(*settings).generate(to_requests(batch))
    stacked = np.stack([image.pixels for image in images if image.pixels is not None])
    assert stacked.shape == batch["photos"].shape
    return stacked


@pytest.mark.parametrize("mode", ["img2img", "text2img"])
def test_same_requests_give_identical_images(batch: Batch, mode: str) -> None:
    setting, last = f"mode={mode}", select(batch, 2)
    assert (generate(batch, setting) == generate(batch, setting)).all()
    assert (generate(last, setting) == generate(last, setting)).all()


def test_batch_size_is_1_on_the_cpu() -> None:
    generator = load_generator("batch_size=5")
    assert generator.batch_size == (5 if generator.device.type == "cuda" else 1)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"])
def test_single_image_differs_from_batched_image_by_at_most_1(batch: Batch, scheduler: str) -> None:
    setting = f"scheduler.name={scheduler}"
    together = generate(batch, setting)
    for index in range(N):
        single = generate(select(batch, index), setting)[0]
        assert np.abs(single.astype(int) - together[index]).max() <= 1


@pytest.mark.parametrize("net", range(3))
def test_control_map_changes_only_its_own_image(batch: Batch, net: int) -> None:
    before = generate(batch)
    maps = [array.copy() for array in batch["maps"]]
    maps[net][1] = 0
    after = generate(batch | {"maps": maps})
    assert [(before[index] != after[index]).any() for index in range(N)] == [False, True, False]


def test_controlnet_at_scale_0_ignores_its_map(batch: Batch) -> None:
    setting = "controls.depth.scale=0"
    blank = [*batch["maps"][:2], np.zeros_like(batch["maps"][2])]
    assert (generate(batch, setting) == generate(batch | {"maps": blank}, setting)).all()
    assert (generate(batch, setting) != generate(batch)).any()


def test_photo_seed_and_prompts_change_only_their_own_image(batch: Batch) -> None:
    before = generate(batch)
    photos = batch["photos"].copy()
    photos[0] = 255 - photos[0]
    changes: list[Batch] = [
        {"photos": photos},
        {"seeds": [99, *batch["seeds"][1:]]},
        {"prompts": [("night", "photo"), *batch["prompts"][1:]]},
        {"prompts": [("anime", "snow"), *batch["prompts"][1:]]},
    ]
    for change in changes:
        after = generate(batch | change)
        assert (before[0] != after[0]).any(), change.keys()
        assert (before[1:] == after[1:]).all(), change.keys()


def test_text2img_ignores_the_photo(batch: Batch) -> None:
    black = batch | {"photos": np.zeros_like(batch["photos"])}
    assert (generate(batch, "mode=text2img") == generate(black, "mode=text2img")).all()


def test_window_of_a_controlnet_changes_the_image(batch: Batch) -> None:
    assert (generate(batch, "controls.canny.end=0.5") != generate(batch)).any()


def test_negative_prompt_is_ignored_without_guidance(batch: Batch) -> None:
    other = batch | {"prompts": [("anime", "snow")] * N}
    assert (generate(batch, "guidance=1") == generate(other, "guidance=1")).all()


@pytest.mark.parametrize(
    "change",
    [
        {"maps": ()},
        {"photo": np.zeros((64, 64, 3), np.float32)},
        {"photo": np.zeros((32, 64, 3), np.uint8)},
        {"inpaint_region": np.zeros((64, 64), np.bool_)},
    ],
)
def test_request_that_does_not_match_the_recipe_raises(batch: Batch, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(photo and )?maps: |^inpaint_region: "):
        load_generator().generate([replace(to_requests(batch)[0], **change)])


def test_provenance_of_an_image(batch: Batch) -> None:
    request = to_requests(batch)[0]
    (image,) = load_generator().generate([request])
    facts = load_generator().made_by(request, image)
    assert (facts.dtype, facts.scheduler, facts.prompt_chunks, facts.batch_size, facts.compiled) == (
        "float32", "DPMSolverMultistepScheduler", 1, 1,
        "no: too slow on a CPU",
    )  # fmt: skip
    assert (facts.retried, facts.nsfw) == (None, None)
    assert [model.role for model in facts.models] == [
        "base", "controlnet-canny", "controlnet-openpose", "controlnet-depth",
    ]  # fmt: skip
    assert len({model.sha256 for model in facts.models}) == 4
    long = replace(request, prompt="anime " * 100)  # one chunk has 75 words
    assert load_generator().made_by(long, image).prompt_chunks == 2


def test_generator_works_without_ray_and_without_detector_packages() -> None:
    absent = {"ray", "controlnet_aux", "mediapipe", "rtmlib", "onnxruntime", "dynamicprompts"}
    code = f"""
import sys
sys.modules |= dict.fromkeys({absent})  # importing them raises ImportError
from importlib import metadata
installed_version = metadata.version
def version(name):
    if name in ("ray", "controlnet-aux"):
        raise metadata.PackageNotFoundError(name)
    return installed_version(name)
metadata.version = version
from pipeline.diffusion.generator import ImageGenerator
from pipeline.recipes.load import load_recipe
from tests.tiny import tiny_requests
generator, requests = ImageGenerator(load_recipe("demo", ["area=4096", "steps=2"])), tiny_requests(1, nets=3)
(image,) = generator.generate(requests)
versions = generator.made_by(requests[0], image).versions
print(image.pixels.shape, '"ray"' in versions, '"torch"' in versions)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "(64, 64, 3) False True"


SIDE = 128  # pixels: large enough for edges that can be compared
CANNY_ONLY = ("steps=8", "controls.canny.scale=1", "controls.openpose.scale=0", "controls.depth.scale=0")


@pytest.fixture(scope="module")
def two_photos(data: Path) -> Batch:
    """Create a batch of two photos of different colours with canny maps. Their pose and depth maps are black."""
    originals = [Image.open(data / name).convert("RGB") for name in ("astronaut.png", "coffee.png")]
    photos = np.stack([np.asarray(photo.crop((0, 0, 400, 400)).resize((SIDE, SIDE))) for photo in originals])
    maps = np.stack([Canny(CannySettings())(photo) for photo in photos])  # [2, SIDE, SIDE, 3], uint8
    black = np.zeros_like(photos)
    return {
        "photos": photos,
        "maps": [maps, black, black],
        "prompts": [("anime style", "photo")] * 2,
        "seeds": [5, 6],
    }


def test_image_has_the_colours_of_its_photo_in_the_same_channels(two_photos: Batch) -> None:
    for photo, image in zip(two_photos["photos"], generate(two_photos, *CANNY_ONLY), strict=True):
        difference = {
            order: np.abs(photo[..., list(order)].astype(int) - image).mean()
            for order in itertools.permutations(range(3))
        }
        assert min(difference, key=difference.__getitem__) == (0, 1, 2)


@pytest.mark.parametrize("mode", ["img2img", "text2img"])
def test_edges_agree_with_the_own_map_without_displacement(two_photos: Batch, mode: str) -> None:
    maps = [control_map[..., 0] > 0 for control_map in two_photos["maps"][0]]
    for own, other, image in zip(maps, maps[::-1], generate(two_photos, f"mode={mode}", *CANNY_ONLY), strict=True):
        edges = edge_metrics.edges(image)
        score = edge_metrics.edge_f1(edges, own)
        assert edge_metrics.above_chance(score, edge_metrics.edge_f1(edges, other)) > 0.5
        for shift, axis in itertools.product((-4, 4), (0, 1)):
            assert score > edge_metrics.edge_f1(edges, np.roll(own, shift, axis)) + 0.02


def test_edges_do_not_agree_with_the_map_at_scale_0(two_photos: Batch) -> None:
    maps = [control_map[..., 0] > 0 for control_map in two_photos["maps"][0]]
    agreement = {}
    for scale in ("1", "0"):
        images = generate(two_photos, "mode=text2img", *CANNY_ONLY, f"controls.canny.scale={scale}")
        scores = [[edge_metrics.edge_f1(edge_metrics.edges(image), edges) for edges in maps] for image in images]
        agreement[scale] = np.mean(
            [
                edge_metrics.above_chance(scores[0][0], scores[0][1]),
                edge_metrics.above_chance(scores[1][1], scores[1][0]),
            ]
        )
    assert agreement["0"] < 0.25
    assert agreement["1"] > 0.5


def test_inpaint_controlnet_receives_minus_1_at_masked_pixels(batch: Batch) -> None:
    generator = ImageGenerator(recipe_of(CannySettings(), InpaintSettings()))
    masks = np.zeros((N, 64, 64), np.bool_)
    masks[1, 8:16, 40:] = True
    requests = [
        replace(request, maps=request.maps[:2], mask=mask)
        for request, mask in zip(to_requests(batch), masks, strict=True)
    ]
    sampler = generator._passes[0]
    canny, inpaint = (
        sampler._control_maps(control, list(maps), requests, generator.device, generator._dtype)
        for control, maps in zip(sampler.settings.controls, batch["maps"][:2], strict=True)
    )
    assert inpaint.dtype == canny.dtype == generator._dtype
    assert (inpaint[1, :, 8:16, 40:] == -1.0).all()
    assert inpaint[0].min() >= 0
    assert canny.min() >= 0
    assert (inpaint < 0).sum() == 3 * masks.sum()
    masked = generator.generate(requests[:2])
    unmasked = generator.generate([replace(request, mask=None) for request in requests[:2]])
    assert (masked[0].pixels == unmasked[0].pixels).all()
    assert (masked[1].pixels != unmasked[1].pixels).any()
