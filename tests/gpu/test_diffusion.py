"""On a GPU, in half precision: the same picture alone and in a batch, within the tolerance that is promised."""

import numpy as np
import pytest
import torch

from jobs.bench.throughput import Bench, Measurement
from pipeline.diffusion import memory
from pipeline.diffusion.batching import DECODED_IN_FLOAT32
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.recipes.load import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
TOLERANCE = 6  # of 255, at the worst pixel


def test_the_place_in_the_batch_does_not_show() -> None:
    subject = ImageGenerator(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=4"]))
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (4, 256, 256, 3), np.uint8) for _ in range(4))
    order = [2, 0, 3, 1]
    asked = [
        GenerationRequest(photo, tuple(drawn), "anime", "photo", seed)
        for seed, (photo, *drawn) in enumerate(zip(photos, *maps, strict=True))
    ]
    whole = subject.generate(asked)
    turned = subject.generate([asked[number] for number in order])
    assert subject.made_by(asked[0], whole[0])["dtype"] == "float16"
    for number, drawing in zip(order, turned, strict=True):
        assert np.abs(drawing.pixels.astype(int) - whole[number].pixels).max() <= TOLERANCE


def drawn(*settings: str) -> list[np.ndarray]:
    """Return two pictures by the demo recipe in half precision."""
    subject = ImageGenerator(
        load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=2", "compile=off", *settings])
    )
    return [drawing.pixels for drawing in subject.generate(requests()) if drawing.pixels is not None]


def requests() -> list[GenerationRequest]:
    """Return what asks for two pictures of their own photos and maps."""
    random = np.random.default_rng(4)
    photos, *maps = (random.integers(0, 256, (2, 256, 256, 3), np.uint8) for _ in range(4))
    return [
        GenerationRequest(photo, tuple(own), "anime", "photo", seed)
        for seed, (photo, *own) in enumerate(zip(photos, *maps, strict=True))
    ]


@pytest.mark.parametrize("setting", ["memory=low", "compile=on"])
def test_low_memory_and_compilation_draw_the_same_picture(setting: str) -> None:
    for one, other in zip(drawn(), drawn(setting), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= 1


def test_nets_one_by_one_draw_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONTROLNET_MEMORY", 0)
    for one, other in zip(drawn(), drawn("memory=low"), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= 1


def test_a_picture_that_is_not_finite_is_mended_there_too() -> None:
    subject = ImageGenerator(load_recipe("demo", ["dtype=float16", "steps=4", "batch_size=2", "compile=off"]))
    subject.pipe.vae.decoder.register_forward_hook(
        lambda layer, _given, said: said * float("nan") if next(layer.parameters()).dtype == torch.float16 else None
    )
    for drawing in subject.generate(requests()):
        assert drawing.retried == (DECODED_IN_FLOAT32,)
        assert drawing.pixels is not None


def test_the_bench_measures_there() -> None:
    plain, ours = Bench(load_recipe("demo", ["dtype=float16", "steps=4"]), [2], 1).plain(), list[Measurement]()
    ours += Bench(load_recipe("demo", ["dtype=float16", "steps=4", "compile=off"]), [2], 1).sizes()
    for row in (*plain, *ours):
        assert row.pace
        assert row.peak
        assert row.flop


def test_half_precision_is_near_float32() -> None:
    for one, other in zip(drawn(), drawn("dtype=float32"), strict=True):
        assert np.abs(one.astype(int) - other).mean() <= 2
