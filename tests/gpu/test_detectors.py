"""Detectors on a GPU: the maps of a batch are nearly those of one photo on the CPU."""

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
from tests.pipeline.detectors.bare import photo

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
def test_a_batch_there_is_as_one_by_one_here(settings: Any, weights_of: Callable[[str], Path]) -> None:
    located = settings.model_copy(update={"weights": str(weights_of(settings.name))})
    there: Any = load_detector(located, "cuda")
    here = load_detector(located)
    photos = np.stack([photo(128), photo(128)[::-1], photo(128)[:, ::-1]])
    apart = np.abs(there.batch(photos).astype(int) - np.stack([here(each) for each in photos]))
    assert apart.mean() < 2  # of 255; Depth is in half precision there
