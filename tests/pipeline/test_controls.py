"""Control maps: the photo's own pixels, the manifest's truth before a detector's guess, and blanks that are named."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.controls import ControlMaps
from pipeline.faults import ControlFault
from schemas.detectors import CannySettings, DepthSettings, OpenposeSettings
from schemas.work import Row


def pixels_of(drawn: Row, side: int = 64) -> NDArray[np.uint8]:
    return np.frombuffer(drawn["pixels"], np.uint8).reshape(side, side, 3)


def png(pixels: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_canny_is_detected_with_its_version_and_settings(decoded: Row) -> None:
    (drawn,) = ControlMaps([CannySettings()]).draw(decoded)["maps"]
    assert (drawn["detector"], drawn["origin"]) == ("canny", "detected")
    assert drawn["version"].startswith("opencv ")
    assert drawn["settings"] == '{"high": 200.0, "low": 100.0}'
    assert 0.02 < (pixels_of(drawn) > 0).mean() < 0.5


def test_missing_weights_draw_black_and_say_so(decoded: Row) -> None:
    (drawn,) = ControlMaps([OpenposeSettings()], frozenset({"openpose"})).draw(decoded)["maps"]
    assert drawn["origin"] == "blank"
    assert not pixels_of(drawn).any()


def test_the_manifests_keypoints_are_drawn_where_the_transform_puts_them(decoded: Row) -> None:
    person = [0.0] * 51
    person[0:3] = [256.0, 128.0, 2.0]  # the nose, in the 512x512 photo
    (drawn,) = ControlMaps([OpenposeSettings()]).draw(decoded | {"pose_keypoints": [person]})["maps"]
    assert drawn["origin"] == "manifest"
    found = np.argwhere((pixels_of(drawn) == (255, 0, 0)).all(axis=2))  # [N, 2], y and x: the nose's colour
    assert np.abs(found.mean(axis=0) - (16, 32)).max() < 1


def test_nobody_in_the_manifest_is_a_result(decoded: Row) -> None:
    (drawn,) = ControlMaps([OpenposeSettings()]).draw(decoded | {"pose_keypoints": []})["maps"]
    assert drawn["origin"] == "manifest"
    assert not pixels_of(drawn).any()


@pytest.mark.parametrize("person", [[1.0] * 50, [float("nan")] * 51, [None] * 51, [3e9] * 51, None])
def test_bad_keypoints_are_a_fault(decoded: Row, person: list[float | None] | None) -> None:
    with pytest.raises(ControlFault, match="a person is 51 numbers"):
        ControlMaps([OpenposeSettings()]).draw(decoded | {"pose_keypoints": [person]})


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", [512, 256])
def test_the_manifests_depth_is_stretched_and_fitted(decoded: Row, kind: type[np.generic], side: int) -> None:
    top = np.iinfo(kind).max
    ramp = np.tile(np.linspace(top // 4, top // 2, side), (side, 1)).astype(kind)  # nearer to the right
    (drawn,) = ControlMaps([DepthSettings()]).draw(decoded | {"depth_bytes": png(ramp)})["maps"]
    assert drawn["origin"] == "manifest"
    across = pixels_of(drawn)[32, :, 0].astype(int)
    assert (across[0], across[-1]) == (0, 255)
    assert (np.diff(across) > 0).all()


def test_a_flat_depth_is_black(decoded: Row) -> None:
    flat = np.full((512, 512), 9, np.uint8)
    (drawn,) = ControlMaps([DepthSettings()]).draw(decoded | {"depth_bytes": png(flat)})["maps"]
    assert not pixels_of(drawn).any()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no picture", "depth_uri: no readable picture"),
        (png(np.zeros((10, 40), np.uint8)), "not of the photo's shape"),
    ],
)
def test_a_bad_depth_is_a_fault(decoded: Row, content: bytes, said: str) -> None:
    with pytest.raises(ControlFault, match=said):
        ControlMaps([DepthSettings()]).draw(decoded | {"depth_bytes": content})


def test_maps_come_in_the_recipes_order(decoded: Row) -> None:
    wanted = [DepthSettings(), CannySettings(), OpenposeSettings()]
    drawn = ControlMaps(wanted, frozenset({"depth", "openpose"})).draw(decoded)["maps"]
    assert [each["detector"] for each in drawn] == ["depth", "canny", "openpose"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no convergence"), ValueError("bad pixels"), cv2.error("assertion failed")]
)
def test_a_detector_that_fails_over_one_photo_is_a_fault_of_that_photo(
    decoded: Row, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cv2, "Canny", fail)
    with pytest.raises(ControlFault, match=f"canny: {type(error).__name__}: {error}"):
        ControlMaps([CannySettings()]).draw(decoded)
