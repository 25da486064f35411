"""RTMPose through rtmlib, on networks that find what is painted: where keypoints land, and who is nobody."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.rtmpose import Rtmpose
from schemas.detectors import RtmposeSettings
from tests.pipeline.detectors.onnx_networks import write_rtmpose

BOX = np.array([[38.0, 12.0], [58.0, 52.0]])  # where the finder sees someone in a picture of 64x64: 20 wide, 40 high
POSE = 96 / 128  # width by height of what the pose network sees


def scene(scale: int = 1, *, somebody: bool = True) -> NDArray[np.uint8]:
    """Return a red rectangle on black where the finder looks."""
    pixels = np.zeros((64 * scale, 64 * scale, 3), np.uint8)
    if somebody:
        (left, top), (right, bottom) = BOX.astype(int) * scale
        pixels[top:bottom, left:right] = (255, 0, 0)
    return pixels


def expected(keypoints: int) -> NDArray[np.float64]:
    """Return the diagonal of what the pose network sees: the box, a quarter larger, and as wide as its input is."""
    middle, sides = BOX.mean(axis=0), (BOX[1] - BOX[0]) * 1.25
    sides = np.array([max(sides[0], sides[1] * POSE), max(sides[1], sides[0] / POSE)])
    shares = (np.arange(keypoints)[:, None] + 0.5) / keypoints
    return middle + (shares - 0.5) * sides


@pytest.mark.parametrize("scale", [1, 5])
def test_keypoints_land_where_they_are_in_any_size(tmp_path: Path, scale: int) -> None:
    write_rtmpose(tmp_path)
    (person,) = Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene(scale))
    coco = expected(17) * scale
    assert np.abs(person.body[0] - coco[0]).max() < scale
    assert np.abs(person.body[10] - coco[16]).max() < scale  # the right ankle
    assert np.abs(person.body[1] - coco[[5, 6]].mean(axis=0)).max() < scale
    assert (person.left_hand, person.face) == (None, None)


def test_nobody_is_a_black_map(tmp_path: Path) -> None:
    write_rtmpose(tmp_path)
    rtmpose = Rtmpose(RtmposeSettings(), tmp_path, "cpu")
    assert not rtmpose(scene(somebody=False)).any()
    assert rtmpose(scene()).any()


def test_a_dog_is_no_person(tmp_path: Path) -> None:
    write_rtmpose(tmp_path, person_class=16)
    assert Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene()) == []


def test_the_photo_is_rgb(tmp_path: Path) -> None:
    write_rtmpose(tmp_path)
    blue = scene()[:, :, ::-1]
    assert Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(blue) == []


def test_a_weak_keypoint_is_not_found(tmp_path: Path) -> None:
    write_rtmpose(tmp_path, nearly=0)
    (person,) = Rtmpose(RtmposeSettings(), tmp_path, "cpu").people(scene())
    assert np.isnan(person.body[0]).all()
    assert not np.isnan(person.body[2:]).any()
    (person,) = Rtmpose(RtmposeSettings(threshold=0.1), tmp_path, "cpu").people(scene())
    assert not np.isnan(person.body).any()


@pytest.mark.parametrize("parts", [{}, {"hands": True}, {"face": True}])
def test_of_a_whole_body_is_drawn_what_is_asked_for(tmp_path: Path, parts: dict[str, bool]) -> None:
    write_rtmpose(tmp_path, keypoints=133)
    (person,) = Rtmpose(RtmposeSettings(**parts), tmp_path, "cpu").people(scene())
    assert (person.left_hand is not None) == (person.right_hand is not None) == bool(parts.get("hands"))
    assert (person.face is not None) == bool(parts.get("face"))


def test_it_takes_one_thread_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_rtmpose(tmp_path)
    rtmpose = Rtmpose(RtmposeSettings(), tmp_path, "cpu")
    for tool in (rtmpose._finder, rtmpose._posed):
        assert tool.session.get_session_options().intra_op_num_threads == 1
    assert capfd.readouterr() == ("", "")
