"""People by rtmlib: YOLOX finds them, RTMPose their keypoints, both by ONNX Runtime; drawn as OpenPose."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rtmlib import YOLOX, RTMPose

from pipeline.detectors.keypoints import Person, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from pipeline.images.arrays import Pixels
from schemas.detectors import RtmposeSettings

PERSON = 0  # COCO's first class
WITH_SCORES = 5  # numbers of a box whose network has done all but scaling: x, y, x, y, score


class Rtmpose:
    """Find people by 17 or 133 keypoints each; nobody in the picture gives a black map, which is a result."""

    def __init__(self, settings: RtmposeSettings, folder: Path, device: str) -> None:
        del device  # the networks run on the CPU
        self._finder = _on_one_thread(YOLOX, folder / settings.person_file)
        self._posed = _on_one_thread(RTMPose, folder / settings.pose_file)
        self._posed.model_input_size = self._posed.model_input_size[::-1]  # the one wants height first, the other width
        self._settings = settings

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the drawn people."""
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return everyone in a picture."""
        seen = np.ascontiguousarray(pixels[:, :, ::-1])  # the networks' files are fed as OpenCV reads: BGR
        boxes = self._boxes(seen)
        if not len(boxes):
            return []  # without boxes RTMPose would take the whole picture for a person
        keypoints, scores = self._posed(seen, bboxes=boxes)
        return [self._person(*found) for found in zip(keypoints, scores, strict=True)]

    def _boxes(self, seen: Pixels) -> NDArray[np.floating]:
        """Return where people are, [N, 4]: in its mode `human` rtmlib would return dogs and cars as well."""
        whole = self._finder.session.get_outputs()[0].shape[-1] == WITH_SCORES
        self._finder.det_mode = "human" if whole else "multiclass"
        found: Any = self._finder(seen)
        if whole:
            return np.asarray(found).reshape(-1, 4)
        boxes, classes = found
        people: NDArray[np.floating] = np.asarray(boxes).reshape(-1, 4)[np.asarray(classes) == PERSON]
        return people

    def _person(self, keypoints: NDArray[np.float64], scores: NDArray[np.float64]) -> Person:
        found = scores >= self._settings.threshold
        points = np.column_stack([keypoints, np.where(found, scores, 0.0)])  # [17 or 133, 3]
        return person_from_keypoints(points, hands=self._settings.hands, face=self._settings.face)


def _on_one_thread(kind: type[Any], path: Path) -> Any:  # noqa: ANN401 - rtmlib has no types
    """Return a tool of rtmlib over a file, at the size that the file says (height, width), in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with redirect_stdout(io.StringIO()):  # it tells of each file
        tool = kind(str(path), model_input_size=tuple(session.get_inputs()[0].shape[2:]))
    tool.session = session  # its own takes every core
    return tool
