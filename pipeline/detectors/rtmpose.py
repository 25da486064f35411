"""A pose detector of rtmlib: YOLOX detects the boxes of people, RTMPose their keypoints, both on ONNX Runtime."""

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

PERSON = 0  # the index of this class in COCO
SCORED_BOX = 5  # numbers per box of a network with built-in non-maximum suppression: x, y, x, y, score


class Rtmpose:
    """Detects 17 or 133 keypoints of each person. The map of an image without people is black."""

    def __init__(self, settings: RtmposeSettings, folder: Path, device: str) -> None:
        del device  # the networks run on the CPU
        self._person_model = _load_single_threaded(YOLOX, folder / settings.person_file)
        self._pose_model = _load_single_threaded(RTMPose, folder / settings.pose_file)
        # In rtmlib, RTMPose expects width and height of its input, and YOLOX height and width.
        self._pose_model.model_input_size = self._pose_model.model_input_size[::-1]
        self._settings = settings

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the people in an image, drawn as OpenPose."""
        return draw_people(self.people(pixels), *pixels.shape[:2])

    def people(self, pixels: Pixels) -> list[Person]:
        """Return the people in an image."""
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])  # the networks were trained on the channel order of OpenCV
        boxes = self._boxes(bgr)
        if not len(boxes):
            return []  # without boxes, RTMPose would treat the whole image as one person
        keypoints, scores = self._pose_model(bgr, bboxes=boxes)
        return [self._person(*person) for person in zip(keypoints, scores, strict=True)]

    def _boxes(self, bgr: Pixels) -> NDArray[np.floating]:
        """Detect the boxes [N, 4] of people.

        A network without built-in non-maximum suppression runs in mode `multiclass`, because in mode `human` rtmlib
        would also return the boxes of dogs and cars.
        """
        scored = self._person_model.session.get_outputs()[0].shape[-1] == SCORED_BOX
        self._person_model.det_mode = "human" if scored else "multiclass"
        result: Any = self._person_model(bgr)
        if scored:
            return np.asarray(result).reshape(-1, 4)
        boxes, classes = result
        people: NDArray[np.floating] = np.asarray(boxes).reshape(-1, 4)[np.asarray(classes) == PERSON]
        return people

    def _person(self, keypoints: NDArray[np.float64], scores: NDArray[np.float64]) -> Person:
        visible = scores >= self._settings.threshold
        points = np.column_stack([keypoints, np.where(visible, scores, 0.0)])  # [17 or 133, 3]
        return person_from_keypoints(points, hands=self._settings.hands, face=self._settings.face)


def _load_single_threaded(model_class: type[Any], path: Path) -> Any:  # noqa: ANN401 - rtmlib has no types
    """Load a model of rtmlib with the input size (height, width) of its ONNX file, in a session with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with redirect_stdout(io.StringIO()):  # rtmlib prints the name of each file
        model = model_class(str(path), model_input_size=tuple(session.get_inputs()[0].shape[2:]))
    model.session = session  # replaces rtmlib's session, which uses all cores
    return model
