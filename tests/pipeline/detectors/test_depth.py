"""Depth: a tiny Depth Anything of random weights, the real classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import pipeline

from pipeline.detectors.depth import Depth
from schemas.detectors import DepthSettings
from tests.pipeline.detectors.bare import photo

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_map_is_transformers_own_depth_in_full_range(weights_of: Callable[[str], Path]) -> None:
    folder, pixels = weights_of("depth"), photo(97)[:65]
    drawn = Depth(DepthSettings(), folder, "cpu")(pixels)
    assert (drawn.shape, drawn.dtype) == ((65, 97, 3), np.uint8)
    assert (drawn.min(), drawn.max()) == (0, 255)
    assert (drawn[..., 0] == drawn[..., 2]).all()
    from PIL import Image

    estimate = pipeline("depth-estimation", model=str(folder), device=torch.device("cpu"))
    depth = np.asarray(estimate(Image.fromarray(pixels))["predicted_depth"], np.float64)  # [H, W], cubic, as ours
    expected = 255 * (depth - depth.min()) / (depth.max() - depth.min())
    assert np.abs(drawn[..., 0] - expected).mean() < 3


def test_what_grows_away_from_the_viewer_is_inverted(weights_of: Callable[[str], Path]) -> None:
    near = Depth(DepthSettings(), weights_of("depth"), "cpu")(photo(56))
    far = Depth(DepthSettings(invert=True), weights_of("depth"), "cpu")(photo(56))
    assert np.abs(near.astype(int) + far - 255).max() <= 1


def test_a_batch_is_as_one_by_one(weights_of: Callable[[str], Path]) -> None:
    depth = Depth(DepthSettings(), weights_of("depth"), "cpu")
    photos = np.stack([photo(64), photo(64)[::-1]])
    assert (depth.batch(photos) == np.stack([depth(each) for each in photos])).all()
