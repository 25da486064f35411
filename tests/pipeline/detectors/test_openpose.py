"""OpenPose, by networks with random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.openpose import Openpose, _person
from schemas.detectors import OpenposeSettings
from tests.pipeline.detectors.controlnet_aux_maps import photo

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def body_detector(weights_of: Callable[[str], Path]) -> Openpose:
    return Openpose(OpenposeSettings(), weights_of("openpose"), "cpu")


@pytest.fixture(scope="module")
def whole_body_detector(weights_of: Callable[[str], Path]) -> Openpose:
    return Openpose(OpenposeSettings(hands=True, face=True), weights_of("openpose"), "cpu")


def test_people_are_drawn_as_by_controlnet_aux(whole_body_detector: Openpose, monkeypatch: pytest.MonkeyPatch) -> None:
    library = controlnet_aux.open_pose
    keypoint = library.body.Keypoint
    body = [None if number in (4, 9) else keypoint(x=0.1 + number / 32, y=number % 7 / 8) for number in range(18)]
    hand = [keypoint(x=number / 32, y=0.5) for number in range(21)]
    face = [keypoint(x=0.25 + number / 256, y=0.25) for number in range(70)]
    pose = library.PoseResult(library.body.BodyResult(body, 1.0, 16), hand, None, face)
    monkeypatch.setattr(whole_body_detector._detector, "detect_poses", lambda *_, **__: [pose])
    assert (whole_body_detector(photo(128)) == library.draw_poses([pose], 128, 128)).all()
    assert np.isnan(_person(pose, 128, 128).body[4]).all()


def test_networks_of_hands_and_face_are_loaded_if_enabled(
    body_detector: Openpose, whole_body_detector: Openpose
) -> None:
    body, whole_body = body_detector._detector, whole_body_detector._detector
    assert (body.hand_estimation, body.face_estimation) == (None, None)
    assert type(whole_body.hand_estimation).__name__ == "Hand"
    assert type(whole_body.face_estimation).__name__ == "Face"


def test_batch_equals_single_maps(body_detector: Openpose) -> None:
    photos = np.stack([photo(64), photo(64)[::-1]])
    assert (body_detector.batch(photos) == np.stack([body_detector(each) for each in photos])).all()
