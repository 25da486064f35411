"""On a GPU, in half precision: the same picture alone and in a batch, within the tolerance that is promised."""

import numpy as np
import pytest
import torch

from pipeline.diffusion.diffusion import Diffusion
from pipeline.diffusion.request import Request
from pipeline.recipes import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
TOLERANCE = 6  # of 255, at the worst pixel


def test_the_place_in_the_batch_does_not_show() -> None:
    subject = Diffusion(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=4"]))
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (4, 256, 256, 3), np.uint8) for _ in range(4))
    order = [2, 0, 3, 1]
    asked = [
        Request(photo, tuple(drawn), "anime", "photo", seed)
        for seed, (photo, *drawn) in enumerate(zip(photos, *maps, strict=True))
    ]
    whole = subject.draw(asked)
    turned = subject.draw([asked[place] for place in order])
    assert subject.made_by(asked[0], whole[0])["dtype"] == "float16"
    for place, drawing in zip(order, turned, strict=True):
        assert np.abs(drawing.pixels.astype(int) - whole[place].pixels).max() <= TOLERANCE


def drawn(*settings: str) -> list[np.ndarray]:
    """Return two pictures by the demo recipe in half precision."""
    subject = Diffusion(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=2", "compile=off", *settings]))
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (2, 256, 256, 3), np.uint8) for _ in range(4))
    asked = [
        Request(photo, tuple(own), "anime", "photo", seed)
        for seed, (photo, *own) in enumerate(zip(photos, *maps, strict=True))
    ]
    return [drawing.pixels for drawing in subject.draw(asked) if drawing.pixels is not None]


@pytest.mark.parametrize("setting", ["memory=low", "compile=on"])
def test_low_memory_and_compilation_draw_the_same_picture(setting: str) -> None:
    for one, other in zip(drawn(), drawn(setting), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= 1


def test_half_precision_is_near_float32() -> None:
    for one, other in zip(drawn(), drawn("dtype=float32"), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= 2
