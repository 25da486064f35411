"""RTMPose through rtmlib, with small networks that detect a red rectangle as a person."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.rtmpose import Rtmpose
from schemas.detectors import RtmposeSettings
from tests.pipeline.detectors.onnx_networks import write_rtmpose

BOX = np.array([[38.0, 12.0], [58.0, 52.0]])  # of the person in an image of 64x64: upper left, lower right
POSE_ASPECT = 96 / 128  # width by height of the input of the pose model


def scene(scale: int = 1, *, person: bool = True) -> NDArray[np.uint8]:
    """Return a red rectangle on black, which the networks detect as a person."""
    pixels = np.zeros((64 * scale, 64 * scale, 3), np.uint8)
    if person:
        (left, top), (right, bottom) = BOX.astype(int) * scale
        pixels[top:bottom, left:right] = (255, 0, 0)
    return pixels


def diagonal(keypoints: int) -> NDArray[np.float64]:
    """Return keypoints on the diagonal of the crop that the pose model receives.

    The crop is the box, enlarged by a quarter, and extended to the aspect ratio of the model's input.
    """
    middle, sides = BOX.mean(axis=0), (BOX[1] - BOX[0]) * 1.25
    sides = np.array([max(sides[0], sides[1] * POSE_ASPECT), max(sides[1], sides[0] / POSE_ASPECT)])
    shares = (np.arange(keypoints)[:, None] + 0.5) / keypoints
    return middle + (shares - 0.5) * sides


@pytest.mark.parametrize("scale", [1, 5])
def test_keypoints_are_in_pixels_of_the_image_at_any_size(tmp_path: Path, scale: int) -> None:
    write_rtmpose(tmp_path)
    (person,) = Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene(scale))
    coco = diagonal(17) * scale
    assert np.abs(person.body[0] - coco[0]).max() < scale
    assert np.abs(person.body[10] - coco[16]).max() < scale  # the right ankle
    assert np.abs(person.body[1] - coco[[5, 6]].mean(axis=0)).max() < scale
    assert (person.left_hand, person.face) == (None, None)


def test_map_without_people_is_black(tmp_path: Path) -> None:
    write_rtmpose(tmp_path)
    rtmpose = Rtmpose(RtmposeSettings(), tmp_path, "cpu")
    assert not rtmpose(scene(person=False)).any()
    assert rtmpose(scene()).any()


def test_other_classes_are_ignored(tmp_path: Path) -> None:
    write_rtmpose(tmp_path, person_class=16)
    assert Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene()) == []


def test_image_is_rgb(tmp_path: Path) -> None:
    write_rtmpose(tmp_path)
    blue = scene()[:, :, ::-1]
    assert Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(blue) == []


def test_keypoint_below_the_threshold_is_undetected(tmp_path: Path) -> None:
    write_rtmpose(tmp_path, weak=0)
    (person,) = Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene())
    assert np.isnan(person.body[0]).all()
    assert not np.isnan(person.body[2:]).any()
    (person,) = Rtmpose(RtmposeSettings(threshold=0.1), tmp_path, "cpu").people(scene())
    assert not np.isnan(person.body).any()


@pytest.mark.parametrize("parts", [{}, {"hands": True}, {"face": True}])
def test_hands_and_face_of_a_whole_body_are_optional(tmp_path: Path, parts: dict[str, bool]) -> None:
    write_rtmpose(tmp_path, keypoints=133)
    (person,) = Rtmpose(RtmposeSettings(**parts), tmp_path, "cpu").people(scene())
    assert (person.left_hand is not None) == (person.right_hand is not None) == bool(parts.get("hands"))
    assert (person.face is not None) == bool(parts.get("face"))


def test_sessions_have_one_thread_and_nothing_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_rtmpose(tmp_path)
    rtmpose = Rtmpose(RtmposeSettings(), tmp_path, "cpu")
    for model in (rtmpose._person_model, rtmpose._pose_model):
        assert model.session.get_session_options().intra_op_num_threads == 1
    assert capfd.readouterr() == ("", "")
