"""Tests of detectors on a GPU: the maps of a batch are close to those of single photos on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.detectors.base import load_detector
from schemas.detectors import (
    DepthSettings,
    LineartAnimeSettings,
    LineartSettings,
    NormalSettings,
    SegSettings,
    SoftedgeSettings,
)
from tests.pipeline.detectors.controlnet_aux_maps import photo

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize(
    "settings",
    [
        DepthSettings(), SoftedgeSettings(), SoftedgeSettings(method="pidi"), LineartSettings(), LineartAnimeSettings(),
        NormalSettings(), SegSettings(),
    ],
    ids=lambda settings: settings.name,
)  # fmt: skip
def test_a_batch_on_the_gpu_matches_single_photos_on_the_cpu(settings: Any, weights_of: Callable[[str], Path]) -> None:
    with_weights = settings.model_copy(update={"weights": str(weights_of(settings.name))})
    on_gpu: Any = load_detector(with_weights, "cuda")
    on_cpu = load_detector(with_weights)
    photos = np.stack([photo(128), photo(128)[::-1], photo(128)[:, ::-1]])  # [N, H, W, 3], uint8
    expected = np.stack([on_cpu(pixels) for pixels in photos])
    difference = np.abs(on_gpu.batch(photos).astype(int) - expected)
    assert difference.mean() < 2  # of 255: on a GPU, the depth network runs in float16
