"""Maps of the manifest: they lie where the photo's own transform puts them, and what is wrong is said."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ControlMapError
from pipeline.steps.provided_maps import is_provided, provided_map
from schemas.detectors import (
    ALL_SETTINGS,
    CannySettings,
    DepthSettings,
    MediapipeSettings,
    NormalSettings,
    OpenposeSettings,
    RtmposeSettings,
    SegSettings,
    Settings,
)
from schemas.work import Row


def png(pixels: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def given(settings: Any, row: Row, content: bytes) -> NDArray[np.uint8]:
    brought = [{"detector": settings.name, "uri": "https://u:p@host/map.png?sig=1", "content": content}]
    found = provided_map(settings, row | {"brought": brought})
    assert found is not None
    assert found.uri == "https://host/map.png"
    assert (found.pixels.shape, found.pixels.dtype) == ((row["height"], row["width"], 3), np.uint8)
    return found.pixels


@pytest.mark.parametrize("kind", ALL_SETTINGS)
def test_nothing_is_given_unless_the_manifest_brings_it(kind: type[Settings], decoded: Row) -> None:
    assert provided_map(kind(), decoded) is None  # type: ignore[arg-type]  # one of the union
    assert not is_provided(kind(), decoded)  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("settings", [OpenposeSettings(), RtmposeSettings(), MediapipeSettings()])
@pytest.mark.parametrize(("count", "nose"), [(17, 0), (18, 0), (33, 0), (133, 0)])
def test_keypoints_are_drawn_where_the_transform_puts_them(settings: Any, decoded: Row, count: int, nose: int) -> None:
    person = np.zeros((count, 3))
    person[nose] = (256.0, 128.0, 2.0)  # in the 512x512 photo
    found = provided_map(settings, decoded | {"pose_keypoints": [person.ravel().tolist()]})
    assert found is not None
    marked = np.argwhere((found.pixels == (255, 0, 0)).all(axis=2))  # [N, 2], y and x: the nose's colour
    assert np.abs(marked.mean(axis=0) - (16, 32)).max() < 1
    assert found.uri is None


def test_padding_moves_what_is_given(decoded: Row) -> None:
    padded = decoded | {"height": 96, "padding": {"left": 0, "top": 20, "right": 0, "bottom": 12}}
    person = [0.0] * 51
    person[0:3] = [256.0, 128.0, 2.0]
    drawn = provided_map(OpenposeSettings(), padded | {"pose_keypoints": [person]})
    assert drawn is not None
    marked = np.argwhere((drawn.pixels == (255, 0, 0)).all(axis=2))
    assert np.abs(marked.mean(axis=0) - (36, 32)).max() < 1
    halves = np.zeros((512, 512, 3), np.uint8)
    halves[256:] = 255
    seg = given(SegSettings(), padded, png(halves))[:, 0, 0]  # the edge goes on in the padding
    assert (seg[:52] == 0).all()
    assert (seg[52:] == 255).all()


def test_nobody_in_the_manifest_is_a_result(decoded: Row) -> None:
    found = provided_map(OpenposeSettings(), decoded | {"pose_keypoints": []})
    assert found is not None
    assert not found.pixels.any()


@pytest.mark.parametrize("person", [[1.0] * 50, [1.0] * 60, [float("nan")] * 51, [None] * 51, [3e9] * 51, None])
def test_bad_keypoints_are_a_fault(decoded: Row, person: list[float | None] | None) -> None:
    with pytest.raises(ControlMapError, match="a person is x, y, visibility of 17, 18, 33, 133 keypoints"):
        provided_map(OpenposeSettings(), decoded | {"pose_keypoints": [person]})


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", [512, 256])
def test_depth_is_stretched_and_fitted(decoded: Row, kind: type[np.generic], side: int) -> None:
    top = np.iinfo(kind).max
    ramp = np.tile(np.linspace(top // 4, top // 2, side), (side, 1)).astype(kind)  # nearer to the right
    across = given(DepthSettings(), decoded, png(ramp))[32, :, 0].astype(int)
    assert (across[0], across[-1]) == (0, 255)
    assert (np.diff(across) > 0).all()


def test_a_flat_depth_is_black(decoded: Row) -> None:
    assert not given(DepthSettings(), decoded, png(np.full((512, 512), 9, np.uint8))).any()


def test_black_and_white_stays_so_and_thin_lines_stay(decoded: Row) -> None:
    lines = np.zeros((256, 256), np.uint8)
    lines[:, 100:102] = 255
    drawn = given(CannySettings(), decoded, png(lines))
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn[:, 25] == 255).all()
    assert (drawn[:, :24] == 0).all()


def test_the_colours_of_classes_stay_classes(decoded: Row) -> None:
    palette = np.array([(120, 120, 120), (4, 200, 3), (6, 230, 230)], np.uint8)
    classes = np.random.default_rng(0).integers(0, 3, (512, 512))
    drawn = given(SegSettings(), decoded, png(palette[classes]))
    assert {tuple(color) for color in drawn.reshape(-1, 3)} == {tuple(color) for color in palette}


def test_colours_keep_their_channels(decoded: Row) -> None:
    normal = np.zeros((512, 512, 3), np.uint8)
    normal[:, :256], normal[:, 256:] = (200, 10, 20), (30, 40, 250)
    drawn = given(NormalSettings(), decoded, png(normal))
    assert drawn[5, 5].tolist() == [200, 10, 20]
    assert drawn[5, 60].tolist() == [30, 40, 250]


@pytest.mark.parametrize("settings", [DepthSettings(), SegSettings()])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no picture", "_uri: no readable picture"),
        (png(np.zeros((10, 40), np.uint8)), "_uri: 40x10 is not of the photo's shape 512x512"),
    ],
)
def test_a_bad_picture_is_a_fault(settings: Any, decoded: Row, content: bytes, said: str) -> None:
    with pytest.raises(ControlMapError, match=settings.name + said):
        given(settings, decoded, content)
