"""The diffusion pipeline on the demo model: arguments are heard, the batch is not, and a drawing shows its photo."""

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

from jobs.demo_model import metrics
from pipeline.detectors.canny import Canny
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings, InpaintSettings
from tests.conftest import ROOT, TINY, recipe_of

pytestmark = pytest.mark.filterwarnings("ignore")
Pixels = NDArray[np.uint8]
N = 3


@cache
def diffusion(*settings: str) -> ImageGenerator:
    return ImageGenerator(load_recipe("demo", [*TINY, "steps=4", *settings]))


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    """Return N different photos with three different maps each."""
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (N, 64, 64, 3), np.uint8) for _ in range(4))
    return {"photos": photos, "maps": maps, "prompts": [("anime", "photo")] * N, "seeds": [11, 12, 13]}


def only(batch: dict[str, Any], *which: int) -> dict[str, Any]:
    chosen = list(which)
    return {
        "photos": batch["photos"][chosen],
        "maps": [stacked[chosen] for stacked in batch["maps"]],
        "prompts": [batch["prompts"][index] for index in chosen],
        "seeds": [batch["seeds"][index] for index in chosen],
    }


def requests(batch: dict[str, Any]) -> list[GenerationRequest]:
    """Return what a batch of arrays asks for."""
    return [
        GenerationRequest(photo, tuple(maps), prompt, negative, seed)
        for photo, maps, (prompt, negative), seed in zip(
            batch["photos"], zip(*batch["maps"], strict=True), batch["prompts"], batch["seeds"], strict=True
        )
    ]


def drawn(batch: dict[str, Any], *settings: str) -> Pixels:
    drawings = diffusion(*settings).generate(requests(batch))
    pictures = np.stack([each.pixels for each in drawings if each.pixels is not None])
    assert pictures.shape == batch["photos"].shape
    return pictures


@pytest.mark.parametrize("mode", ["img2img", "text2img"])
def test_the_same_input_is_the_same_picture_to_the_bit(batch: dict[str, Any], mode: str) -> None:
    whole = drawn(batch, f"mode={mode}")
    assert (drawn(batch, f"mode={mode}") == whole).all()
    assert (drawn(only(batch, 2), f"mode={mode}") == drawn(only(batch, 2), f"mode={mode}")).all()


def test_one_at_a_time_where_a_place_in_the_batch_would_change_bits() -> None:
    subject = diffusion("batch_size=5")
    assert subject.batch_size == (5 if subject._device.type == "cuda" else 1)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"])
def test_alone_is_as_in_a_batch_within_a_step_of_255(batch: dict[str, Any], scheduler: str) -> None:
    whole = drawn(batch, f"scheduler.name={scheduler}")
    for index in range(N):
        alone = drawn(only(batch, index), f"scheduler.name={scheduler}")[0]
        assert np.abs(alone.astype(int) - whole[index]).max() <= 1


@pytest.mark.parametrize("net", range(3))
def test_each_net_is_heard_by_its_own_map_and_photo(batch: dict[str, Any], net: int) -> None:
    before = drawn(batch)
    maps = [stacked.copy() for stacked in batch["maps"]]
    maps[net][1] = 0
    after = drawn(batch | {"maps": maps})
    assert [(before[index] != after[index]).any() for index in range(N)] == [False, True, False]


def test_a_net_of_scale_0_is_silent(batch: dict[str, Any]) -> None:
    silent = "controls.depth.scale=0"
    maps = [*batch["maps"][:2], np.zeros_like(batch["maps"][2])]
    assert (drawn(batch, silent) == drawn(batch | {"maps": maps}, silent)).all()
    assert (drawn(batch, silent) != drawn(batch)).any()


def test_photo_seed_prompt_and_negative_prompt_are_heard(batch: dict[str, Any]) -> None:
    before = drawn(batch)
    photos = batch["photos"].copy()
    photos[0] = 255 - photos[0]
    changes = {
        "photos": photos,
        "seeds": [99, *batch["seeds"][1:]],
        "prompts": [("night", "photo"), *batch["prompts"][1:]],
    }
    negative = {"prompts": [("anime", "snow"), *batch["prompts"][1:]]}
    for change in (*({key: value} for key, value in changes.items()), negative):
        after = drawn(batch | change)
        assert (before[0] != after[0]).any(), change.keys()
        assert (before[1:] == after[1:]).all(), change.keys()


def test_text2img_does_not_look_at_the_photo(batch: dict[str, Any]) -> None:
    black = batch | {"photos": np.zeros_like(batch["photos"])}
    assert (drawn(batch, "mode=text2img") == drawn(black, "mode=text2img")).all()


def test_windows_are_heard(batch: dict[str, Any]) -> None:
    assert (drawn(batch, "controls.canny.end=0.5") != drawn(batch)).any()


def test_without_guidance_the_negative_prompt_is_not_heard(batch: dict[str, Any]) -> None:
    other = batch | {"prompts": [("anime", "snow")] * N}
    assert (drawn(batch, "guidance=1") == drawn(other, "guidance=1")).all()


@pytest.mark.parametrize(
    "broken",
    [
        {"maps": ()},
        {"photo": np.zeros((64, 64, 3), np.float32)},
        {"photo": np.zeros((32, 64, 3), np.uint8)},
        {"inpaint_region": np.zeros((64, 64), np.bool_)},
    ],
)
def test_what_diffusers_would_accept_in_silence_is_refused(batch: dict[str, Any], broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be uint8 of one shape|do not fit|goes with mode inpaint"):
        diffusion().generate([replace(requests(batch)[0], **broken)])


def test_what_made_a_picture_is_said(batch: dict[str, Any]) -> None:
    (request, *_) = requests(batch)
    (drawing,) = diffusion().generate([request])
    made = diffusion().made_by(request, drawing)
    assert (made["dtype"], made["scheduler"], made["prompt_chunks"], made["batch_size"], made["compiled"]) == (
        "float32", "DPMSolverMultistepScheduler", 1, 1,
        "no: on a CPU it is not worth it",
    )  # fmt: skip
    assert (made["retried"], made["nsfw"]) == (None, None)
    assert [model["role"] for model in made["models"]] == [
        "base", "controlnet-canny", "controlnet-openpose", "controlnet-depth",
    ]  # fmt: skip
    assert len({model["sha256"] for model in made["models"]}) == 4
    long = replace(request, prompt="anime " * 100)
    assert diffusion().made_by(long, drawing)["prompt_chunks"] == 2  # 75 words fit into one


def test_it_draws_without_ray_and_without_what_detectors_stand_on() -> None:
    absent = {"ray", "controlnet_aux", "mediapipe", "rtmlib", "onnxruntime", "dynamicprompts"}
    code = f"""
import sys
sys.modules |= dict.fromkeys({absent})  # an import of these fails
from importlib import metadata
found = metadata.version
def version(name):
    if name in ("ray", "controlnet-aux"):
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
from jobs.bench.converter_rows import requests_for
from pipeline.diffusion.diffusion import Diffusion
from pipeline.recipes import load_recipe
recipe = load_recipe("demo", ["area=4096", "steps=2"])
subject, requests = Diffusion(recipe), requests_for(recipe, 1)
(drawing,) = subject.generate(requests)
versions = subject.made_by(requests[0], drawing)["versions"]
print(drawing.pixels.shape, '"ray"' in versions, '"torch"' in versions)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(64, 64, 3) False True"


SIDE = 128  # at which a drawing has edges to compare
ALONE = ("steps=8", "controls.canny.scale=1", "controls.openpose.scale=0", "controls.depth.scale=0")


@pytest.fixture(scope="module")
def two(data: Path) -> dict[str, Any]:
    """Return two photos of different colours with their canny maps, [2, SIDE, SIDE, 3] each; no pose, no depth."""
    whole = [Image.open(data / name).convert("RGB") for name in ("astronaut.png", "coffee.png")]
    photos = np.stack([np.asarray(each.crop((0, 0, 400, 400)).resize((SIDE, SIDE))) for each in whole])
    maps = np.stack([Canny(CannySettings())(photo) for photo in photos])
    nothing = np.zeros_like(photos)
    return {
        "photos": photos,
        "maps": [maps, nothing, nothing],
        "prompts": [("anime style", "photo")] * 2,
        "seeds": [5, 6],
    }


def test_a_drawing_has_its_photos_colours_each_in_its_channel(two: dict[str, Any]) -> None:
    for photo, drawing in zip(two["photos"], drawn(two, *ALONE), strict=True):
        apart = {
            order: np.abs(photo[..., list(order)].astype(int) - drawing).mean()
            for order in itertools.permutations(range(3))
        }
        assert min(apart, key=apart.__getitem__) == (0, 1, 2)


@pytest.mark.parametrize("mode", ["img2img", "text2img"])
def test_a_drawing_lies_on_its_own_map_and_not_beside_it(two: dict[str, Any], mode: str) -> None:
    wanted = [control[..., 0] > 0 for control in two["maps"][0]]
    for own, other, drawing in zip(wanted, wanted[::-1], drawn(two, f"mode={mode}", *ALONE), strict=True):
        edges = metrics.edges(drawing)
        here = metrics.edge_f1(edges, own)
        assert metrics.over_chance(here, metrics.edge_f1(edges, other)) > 0.5
        for shift, axis in itertools.product((-4, 4), (0, 1)):
            assert here > metrics.edge_f1(edges, np.roll(own, shift, axis)) + 0.02


def test_a_net_of_scale_0_leaves_its_map_undrawn(two: dict[str, Any]) -> None:
    wanted = [control[..., 0] > 0 for control in two["maps"][0]]
    agreement = {}
    for scale in ("1", "0"):
        edges = [metrics.edges(each) for each in drawn(two, "mode=text2img", *ALONE, f"controls.canny.scale={scale}")]
        scores = [[metrics.edge_f1(each, control) for control in wanted] for each in edges]
        (first, of_second), (of_first, second) = scores
        agreement[scale] = (metrics.over_chance(first, of_second) + metrics.over_chance(second, of_first)) / 2
    assert agreement["0"] < 0.25
    assert agreement["1"] > 0.5


def test_the_inpaint_net_sees_minus_one_where_a_mask_covers(batch: dict[str, Any]) -> None:
    painter = ImageGenerator(recipe_of(CannySettings(), InpaintSettings()))
    masks = np.zeros((N, 64, 64), np.bool_)
    masks[1, 8:16, 40:] = True
    asked = [replace(each, maps=each.maps[:2], mask=mask) for each, mask in zip(requests(batch), masks, strict=True)]
    one_pass, device = painter._passes[0], painter._device
    canny, inpaint = (
        one_pass._map(control, list(maps), asked, device, painter._dtype)
        for control, maps in zip(one_pass.settings.controls, batch["maps"][:2], strict=True)
    )
    assert inpaint.dtype == canny.dtype == painter._dtype
    assert (inpaint[1, :, 8:16, 40:] == -1.0).all()
    assert inpaint[0].min() >= 0
    assert canny.min() >= 0
    assert (inpaint < 0).sum() == 3 * masks.sum()
    with_mask = painter.generate(asked[:2])
    without = painter.generate([replace(each, mask=None) for each in asked[:2]])
    assert (with_mask[0].pixels == without[0].pixels).all()
    assert (with_mask[1].pixels != without[1].pixels).any()
