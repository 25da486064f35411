"""Depth: a tiny Depth Anything of random weights, the real classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.detectors.depth import Depth
from schemas.detectors import DepthSettings

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    folder = tmp_path_factory.mktemp("depth")
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8, head_hidden_size=8, head_in_index=-1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    processor = DPTImageProcessor(size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14)
    processor.save_pretrained(folder)
    return folder


def test_the_map_has_the_pictures_size_and_full_range(weights: Path, data: Path) -> None:
    depth = Depth(DepthSettings(weights=str(weights)))
    pixels = np.asarray(Image.open(data / "coffee.png").convert("RGB").resize((97, 65)))
    drawn = depth(pixels)
    assert (drawn.shape, drawn.dtype) == ((65, 97, 3), np.uint8)
    assert (drawn.min(), drawn.max()) == (0, 255)
    assert (drawn[..., 0] == drawn[..., 2]).all()
    assert (depth(pixels) == drawn).all()
    assert depth.model["role"] == "depth"
