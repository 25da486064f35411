"""Detector networks with random weights, in the classes and the files of the published ones.

Depth Anything and SegFormer have tiny configurations. The networks of controlnet_aux have a fixed architecture, and
therefore their published size.
"""

import argparse
import contextlib
import functools
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from pipeline.detectors.controlnet_aux_import import controlnet_aux

SEED = 3


def write_weights(detector: str, folder: Path) -> None:
    """Write all files that the settings of a detector can name by default. The same weights are written each time."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        _WRITERS[detector](folder)


def write_seg(folder: Path, classes: int = 150) -> None:
    """Write a SegFormer with a number of classes."""
    config = SegformerConfig(
        id2label={number: str(number) for number in range(classes)}, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def _write_depth(folder: Path) -> None:
    backbone = Dinov2Config(  # type: ignore[call-arg]  # it accepts the arguments of all backbones
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8, head_hidden_size=8, head_in_index=-1,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)


def _write_openpose(folder: Path) -> None:
    networks = controlnet_aux.open_pose
    bodies = {
        "body_pose_model.pth": networks.model.bodypose_model(),
        "hand_pose_model.pth": networks.model.handpose_model(),
    }
    for name, network in bodies.items():  # the published names lack the block of each tensor
        torch.save({key.partition(".")[2]: tensor for key, tensor in network.state_dict().items()}, folder / name)
    torch.save(networks.face.FaceNet().state_dict(), folder / "facenet.pth")


def _write_soft_edges(folder: Path) -> None:
    hed = controlnet_aux.hed.ControlNetHED_Apache2()
    torch.nn.init.constant_(hed.norm, 120.0)
    torch.save(hed.state_dict(), folder / "ControlNetHED.pth")
    pidinet = controlnet_aux.pidi.model.pidinet()
    torch.nn.init.normal_(pidinet.classifier.weight, std=200.0)  # with a smaller one, the output is nearly constant
    training = {"epoch": 1, "args": argparse.Namespace(lr=0.1)}  # the published file contains these as well
    torch.save(training | {"state_dict": _parallel(pidinet)}, folder / "table5_pidinet.pth")


def _write_lineart(folder: Path) -> None:
    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save(controlnet_aux.lineart.Generator(3, 1, 3).state_dict(), folder / name)


def _write_lineart_anime(folder: Path) -> None:
    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    generator = controlnet_aux.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    torch.save(_parallel(generator), folder / "netG.pth")


def _write_normal(folder: Path) -> None:
    arguments = SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    with contextlib.redirect_stdout(io.StringIO()):
        network = controlnet_aux.normalbae.NNET(arguments)
    torch.save({"model": _parallel(network)}, folder / "scannet.pt")


def _parallel(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return weights with the prefix that `torch.nn.DataParallel` adds, as the published files have it."""
    return {f"module.{name}": tensor for name, tensor in network.state_dict().items()}


_WRITERS: dict[str, Callable[[Path], None]] = {
    "depth": _write_depth,
    "lineart": _write_lineart,
    "lineart_anime": _write_lineart_anime,
    "normal": _write_normal,
    "openpose": _write_openpose,
    "scribble": _write_soft_edges,
    "seg": write_seg,
    "softedge": _write_soft_edges,
}
