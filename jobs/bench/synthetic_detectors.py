"""Random weights for detectors, in the file formats of published weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 3


def write_weights(detector: str, folder: Path) -> None:
    """Write the weight files of all methods of a detector to `folder`, under their default names.

    Depth Anything and SegFormer are tiny. The other networks are as large and as fast as the published ones.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        _WRITERS[detector](folder)


def _openpose(folder: Path) -> None:
    import torch

    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    poses = controlnet_aux.open_pose

    # In the published files, the names of tensors do not have the prefix of their submodule, such as `model1_0.`.
    for name, network in (
        ("body_pose_model.pth", poses.model.bodypose_model()),
        ("hand_pose_model.pth", poses.model.handpose_model()),
    ):
        torch.save({key.partition(".")[2]: tensor for key, tensor in network.state_dict().items()}, folder / name)
    torch.save(poses.face.FaceNet().state_dict(), folder / "facenet.pth")


def _soft_edges(folder: Path) -> None:
    import argparse

    import torch

    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    hed = controlnet_aux.hed.ControlNetHED_Apache2()
    torch.nn.init.constant_(hed.norm, 120.0)
    torch.save(hed.state_dict(), folder / "ControlNetHED.pth")
    pidi = controlnet_aux.pidi.model.pidinet()
    torch.nn.init.normal_(pidi.classifier.weight, std=200.0)  # smaller weights give a constant output
    state = {f"module.{name}": tensor for name, tensor in pidi.state_dict().items()}
    torch.save({"epoch": 1, "args": argparse.Namespace(lr=0.1), "state_dict": state}, folder / "table5_pidinet.pth")


def _lineart(folder: Path) -> None:
    import torch

    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(controlnet_aux.lineart.Generator(3, 1, 3).state_dict(), folder / name)


def _lineart_anime(folder: Path) -> None:
    import functools

    import torch

    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    generator = controlnet_aux.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    state = generator.state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, folder / "netG.pth")


def _normal(folder: Path) -> None:
    import contextlib
    import io
    from types import SimpleNamespace

    import torch

    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    settings: dict[str, Any] = {"mode": "client", "architecture": "BN", "pretrained": "scannet"}
    with contextlib.redirect_stdout(io.StringIO()):  # the class prints its configuration
        network = controlnet_aux.normalbae.NNET(SimpleNamespace(**settings, sampling_ratio=0.4, importance_ratio=0.7))
    torch.save(
        {"model": {f"module.{name}": tensor for name, tensor in network.state_dict().items()}}, folder / "scannet.pt"
    )


def write_depth_small(folder: Path) -> None:
    """Write a network of the size of Depth Anything V2 Small, which is the default configuration of its class."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, DPTImageProcessor

    DepthAnythingForDepthEstimation(DepthAnythingConfig()).save_pretrained(folder)
    processor = DPTImageProcessor(size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14)
    processor.save_pretrained(folder)


def _depth(folder: Path) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(  # type: ignore[call-arg]  # mypy does not see inherited arguments
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8, head_hidden_size=8, head_in_index=-1,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    processor = DPTImageProcessor(size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14)
    processor.save_pretrained(folder)


def write_seg(folder: Path, classes: int = 150) -> None:
    """Write a tiny SegFormer with random weights for a number of classes."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    names = {number: str(number) for number in range(classes)}
    config = SegformerConfig(
        id2label=names, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


_WRITERS: dict[str, Callable[[Path], None]] = {
    "openpose": _openpose,
    "depth": _depth,
    "softedge": _soft_edges,
    "scribble": _soft_edges,
    "lineart": _lineart,
    "lineart_anime": _lineart_anime,
    "normal": _normal,
    "seg": write_seg,
}
