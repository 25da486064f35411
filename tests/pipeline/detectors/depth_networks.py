"""Tiny depth networks with random weights, in the classes of published ones whose processors pad the image."""

from pathlib import Path

import torch
from transformers import (
    BeitConfig,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)

STAGES = ["stage1", "stage2", "stage3", "stage4"]


def write_dpt(folder: Path, side: int | None = None) -> None:
    """Write a DPT on DINOv2. Its processor resizes to about `side`, if given, and pads to multiples of 14."""
    backbone = Dinov2Config(  # type: ignore[call-arg]  # it accepts the arguments of all backbones
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14, out_features=STAGES,
        reshape_hidden_states=False,
    )  # fmt: skip
    config = DPTConfig(
        backbone_config=backbone, hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
    )  # fmt: skip
    size = {"height": side or 56, "width": side or 56}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(size=size, do_resize=side is not None, do_pad=True, size_divisor=14).save_pretrained(folder)


def write_zoe(folder: Path) -> None:
    """Write a ZoeDepth. Its processor adds mirrored edges to the image."""
    backbone = BeitConfig(  # type: ignore[call-arg]  # it accepts the arguments of all backbones
        hidden_size=16, intermediate_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=64, patch_size=16,
        out_features=STAGES, reshape_hidden_states=False, use_relative_position_bias=True, add_fpn=False,
    )  # fmt: skip
    bins = {"n_bins": 4, "min_depth": 0.001, "max_depth": 10.0, "name": None}
    config = ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, bottleneck_features=8,
        num_relative_features=4, bin_embedding_dim=8, num_attractors=[2, 1, 1, 1], bin_configurations=[bins],
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    ZoeDepthImageProcessor(size={"height": 128, "width": 128}, ensure_multiple_of=32).save_pretrained(folder)
