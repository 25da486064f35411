"""OpenPose: controlnet_aux's own networks, of random weights, drawn by us as the library draws."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.openpose import Openpose, _person
from schemas.detectors import OpenposeSettings
from tests.pipeline.detectors.bare import photo

pytestmark = pytest.mark.filterwarnings("ignore")  # of controlnet_aux at its import


def test_people_are_drawn_as_the_library_draws_what_it_finds(
    weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    library = controlnet_aux.open_pose
    openpose = Openpose(OpenposeSettings(hands=True, face=True), weights_of("openpose"), "cpu")
    keypoint = library.body.Keypoint
    body = [None if place in (4, 9) else keypoint(x=0.1 + place / 32, y=place % 7 / 8) for place in range(18)]
    hand = [keypoint(x=place / 32, y=0.5) for place in range(21)]
    face = [keypoint(x=0.25 + place / 256, y=0.25) for place in range(70)]
    pose = library.PoseResult(library.body.BodyResult(body, 1.0, 16), hand, None, face)
    monkeypatch.setattr(openpose._detector, "detect_poses", lambda *_, **__: [pose])
    assert (openpose(photo(128)) == library.draw_poses([pose], 128, 128)).all()
    assert np.isnan(_person(pose, 128, 128).body[4]).all()


def test_hands_and_face_have_networks_where_they_are_asked_for(weights_of: Callable[[str], Path]) -> None:
    bare = Openpose(OpenposeSettings(), weights_of("openpose"), "cpu")._detector
    whole = Openpose(OpenposeSettings(hands=True, face=True), weights_of("openpose"), "cpu")._detector
    assert (bare.hand_estimation, bare.face_estimation) == (None, None)
    assert type(whole.hand_estimation).__name__ == "Hand"
    assert type(whole.face_estimation).__name__ == "Face"


def test_a_batch_is_as_one_by_one(weights_of: Callable[[str], Path]) -> None:
    openpose = Openpose(OpenposeSettings(), weights_of("openpose"), "cpu")
    photos = np.stack([photo(64), photo(64)[::-1]])
    assert (openpose.batch(photos) == np.stack([openpose(each) for each in photos])).all()
