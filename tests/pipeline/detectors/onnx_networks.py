"""ONNX networks that detect what a test painted: a red rectangle is a person, with keypoints on its diagonal.

Their inputs and outputs are those of YOLOX and RTMPose (SimCC), so that rtmlib runs them.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 64  # pixels of the input of the person model, which has cells of 8, 16 and 32 pixels, 84 in total
POSE_HEIGHT, POSE_WIDTH = 128, 96
CLASSES = 80
SCORE = 0.9  # of a visible keypoint


def write_rtmpose(folder: Path, keypoints: int = 17, weak: int | None = None, person_class: int = 0) -> None:
    """Write both networks with the file names of the default settings.

    The first detects an object in the right half of the image if the red channel is bright there.

    Args:
        folder: Where to write the networks.
        keypoints: Keypoints per person. Number n is at (n + 0.5) / keypoints of the diagonal of the box.
        weak: The keypoint whose score is 0.2 instead of 0.9.
        person_class: The COCO class of the object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_person_model(person_class), folder / "yolox_l.onnx")
    onnx.save(_pose_model(keypoints, weak), folder / "dw-ll_ucoco_384.onnx")


def _person_model(person_class: int) -> onnx.ModelProto:
    """Return a network with one candidate box, of 20x40 pixels, in the middle of the right half.

    Its objectness is the brightness of red, the third channel of BGR, in the middle of the box.
    """
    cells = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
    candidate = np.zeros((1, cells, 5 + CLASSES), np.float32)
    # Cell (5, 3) of stride 8 has its centre at (48, 32) with an offset of (1, 1): x = (5 + 1) * 8, y = (3 + 1) * 8.
    cell = 3 * (SIDE // 8) + 5
    candidate[0, cell, :4] = (1, 1, np.log(20 / 8), np.log(40 / 8))
    candidate[0, cell, 5 + person_class] = 1.0
    objectness = np.zeros_like(candidate)
    objectness[0, cell, 4] = 1.0
    nodes = [
        helper.make_node("Slice", ["input", "starts", "ends", "axes"], ["red"]),  # [1, 1, 1, 1]
        helper.make_node("Reshape", ["red", "flat"], ["value"]),  # [1, 1, 1]
        helper.make_node("Div", ["value", "white"], ["bright"]),
        helper.make_node("Mul", ["objectness", "bright"], ["score"]),
        helper.make_node("Add", ["candidate", "score"], ["output"]),
    ]
    constants = {
        "starts": np.array([2, 32, 48], np.int64), "ends": np.array([3, 33, 49], np.int64),
        "axes": np.array([1, 2, 3], np.int64), "flat": np.array([1, 1, 1], np.int64),
        "white": np.array(255.0, np.float32), "candidate": candidate, "objectness": objectness,
    }  # fmt: skip
    return _model(nodes, constants, (1, 3, SIDE, SIDE), {"output": candidate.shape})


def _pose_model(keypoints: int, weak: int | None) -> onnx.ModelProto:
    """Return a network with constant keypoints: the two lists of scores of RTMPose, one score for each half pixel."""
    shares = (np.arange(keypoints) + 0.5) / keypoints
    peaks = {}
    for name, side in (("simcc_x", POSE_WIDTH), ("simcc_y", POSE_HEIGHT)):
        scores = np.zeros((1, keypoints, 2 * side), np.float32)
        scores[0, np.arange(keypoints), np.rint(shares * 2 * side).astype(int)] = SCORE
        if weak is not None:
            scores[0, weak] *= 0.2 / SCORE
        peaks[name] = scores
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "none"], ["zero"]),
    ]
    nodes += [helper.make_node("Add", [f"{name}_at", "zero"], [name]) for name in peaks]
    constants = {f"{name}_at": scores for name, scores in peaks.items()} | {"none": np.array(0.0, np.float32)}
    shapes = {name: scores.shape for name, scores in peaks.items()}
    return _model(nodes, constants, (1, 3, POSE_HEIGHT, POSE_WIDTH), shapes)


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    inputs: tuple[int, ...],
    outputs: dict[str, tuple[int, ...]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
