"""Maps of the manifest pass through the transform of their photo; an invalid map is an error of its photo."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import InvalidMapError, InvalidPoseError, MapShapeError, PhotoError
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
from schemas.row_parts import ProvidedFile
from schemas.work import Decoded
from tests.rows import edit, png


def map_of(settings: Any, row: Decoded, content: bytes) -> NDArray[np.uint8]:
    file = ProvidedFile(settings.name, "https://u:p@host/map.png?sig=1", content)
    provided = provided_map(settings, edit(row, provided=(file,)))
    assert provided is not None
    assert provided.uri == "https://host/map.png"
    assert (provided.pixels.shape, provided.pixels.dtype) == ((row.canvas.height, row.canvas.width, 3), np.uint8)
    return provided.pixels


@pytest.mark.parametrize("kind", ALL_SETTINGS)
def test_without_a_map_in_the_manifest_there_is_none(kind: type[Settings], decoded: Decoded) -> None:
    assert provided_map(kind(), decoded) is None  # type: ignore[arg-type]  # one of the union
    assert not is_provided(kind(), decoded)  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("settings", [OpenposeSettings(), RtmposeSettings(), MediapipeSettings()])
@pytest.mark.parametrize(("count", "nose"), [(17, 0), (18, 0), (33, 0), (133, 0)])
def test_keypoints_are_drawn_at_their_place_in_the_image(
    settings: Any, decoded: Decoded, count: int, nose: int
) -> None:
    person = np.zeros((count, 3))
    person[nose] = (256.0, 128.0, 2.0)  # in the 512x512 photo
    found = provided_map(settings, edit(decoded, planned={"pose_keypoints": (tuple(person.ravel().tolist()),)}))
    assert found is not None
    # [N, 2], y and x of the pixels in the colour of the nose
    marked = np.argwhere((found.pixels == (255, 0, 0)).all(axis=2))
    assert np.abs(marked.mean(axis=0) - (16, 32)).max() < 1
    assert found.uri is None


def test_padding_moves_the_keypoints(decoded: Decoded) -> None:
    padded = edit(decoded, canvas={"height": 96, "padding": {"top": 20, "bottom": 12}})
    person = [0.0] * 51
    person[0:3] = [256.0, 128.0, 2.0]
    drawn = provided_map(OpenposeSettings(), edit(padded, planned={"pose_keypoints": (tuple(person),)}))
    assert drawn is not None
    marked = np.argwhere((drawn.pixels == (255, 0, 0)).all(axis=2))
    assert np.abs(marked.mean(axis=0) - (36, 32)).max() < 1
    halves = np.zeros((512, 512, 3), np.uint8)
    halves[256:] = 255
    seg = map_of(SegSettings(), padded, png(halves))[
        :, 0, 0
    ]  # the padding repeats the first and the last row of the map
    assert (seg[:52] == 0).all()
    assert (seg[52:] == 255).all()


def test_an_empty_list_of_people_gives_a_black_map(decoded: Decoded) -> None:
    found = provided_map(OpenposeSettings(), edit(decoded, planned={"pose_keypoints": ()}))
    assert found is not None
    assert not found.pixels.any()


@pytest.mark.parametrize("person", [[1.0] * 50, [1.0] * 60, [float("nan")] * 51, [None] * 51, [3e9] * 51, None])
def test_invalid_keypoints_are_an_error(decoded: Decoded, person: list[float | None] | None) -> None:
    row = edit(decoded, planned={"pose_keypoints": (None if person is None else tuple(person),)})
    with pytest.raises(InvalidPoseError):
        provided_map(OpenposeSettings(), row)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", [512, 256])
def test_depth_is_normalized_and_resampled(decoded: Decoded, kind: type[np.generic], side: int) -> None:
    top = np.iinfo(kind).max
    ramp = np.tile(np.linspace(top // 4, top // 2, side), (side, 1)).astype(kind)  # nearer to the right
    across = map_of(DepthSettings(), decoded, png(ramp))[32, :, 0].astype(int)
    assert (across[0], across[-1]) == (0, 255)
    assert (np.diff(across) > 0).all()


def test_constant_depth_is_black(decoded: Decoded) -> None:
    assert not map_of(DepthSettings(), decoded, png(np.full((512, 512), 9, np.uint8))).any()


def test_a_map_of_lines_stays_black_and_white_and_keeps_thin_lines(decoded: Decoded) -> None:
    lines = np.zeros((256, 256), np.uint8)
    lines[:, 100:102] = 255
    drawn = map_of(CannySettings(), decoded, png(lines))
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn[:, 25] == 255).all()
    assert (drawn[:, :24] == 0).all()


def test_resampling_keeps_the_colours_of_classes(decoded: Decoded) -> None:
    palette = np.array([(120, 120, 120), (4, 200, 3), (6, 230, 230)], np.uint8)
    classes = np.random.default_rng(0).integers(0, 3, (512, 512))
    drawn = map_of(SegSettings(), decoded, png(palette[classes]))
    assert {tuple(color) for color in drawn.reshape(-1, 3)} == {tuple(color) for color in palette}


def test_channels_keep_their_order(decoded: Decoded) -> None:
    normal = np.zeros((512, 512, 3), np.uint8)
    normal[:, :256], normal[:, 256:] = (200, 10, 20), (30, 40, 250)
    drawn = map_of(NormalSettings(), decoded, png(normal))
    assert drawn[5, 5].tolist() == [200, 10, 20]
    assert drawn[5, 60].tolist() == [30, 40, 250]


@pytest.mark.parametrize("settings", [DepthSettings(), SegSettings()])
@pytest.mark.parametrize(
    ("content", "error"),
    [(b"not an image", InvalidMapError), (png(np.zeros((10, 40), np.uint8)), MapShapeError)],
)
def test_an_invalid_image_is_an_error(settings: Any, decoded: Decoded, content: bytes, error: type[PhotoError]) -> None:
    with pytest.raises(error, match=f"{settings.name}_uri"):
        map_of(settings, decoded, content)


def test_the_shape_of_a_map_is_checked_before_its_pixels_are_decoded(decoded: Decoded) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (10, 40), np.uint8)
    with pytest.raises(MapShapeError):
        map_of(SegSettings(), decoded, png(noise)[:-200])


@pytest.mark.parametrize("settings", [DepthSettings(), SegSettings()])
def test_a_map_has_at_most_the_pixels_of_the_limit(settings: Any, decoded: Decoded) -> None:
    file = ProvidedFile(settings.name, "https://host/map.png", png(np.zeros((64, 64), np.uint8)))
    row = edit(decoded, provided=(file,))
    assert provided_map(settings, row, 64 * 64) is not None
    with pytest.raises(InvalidMapError):
        provided_map(settings, row, 64 * 64 - 1)
