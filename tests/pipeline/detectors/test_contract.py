"""What every detector keeps: the picture's own size, bytes, twice the same, nothing of the picture touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.base import Detector, load_detector
from schemas.detectors import (
    CannySettings,
    DepthSettings,
    InpaintSettings,
    LineartAnimeSettings,
    LineartSettings,
    MediapipeSettings,
    NetworkSettings,
    NormalSettings,
    OpenposeSettings,
    RtmposeSettings,
    ScribbleSettings,
    SegSettings,
    SoftedgeSettings,
    TileSettings,
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]  # of the libraries at their imports
SIZES = ((512, 512), (384, 640), (97, 65), (1, 1))  # height and width
# Each detector in two settings, where it has two that draw otherwise.
BOTH: list[Any] = [
    (CannySettings(), CannySettings(low=20, high=40)),
    (OpenposeSettings(), OpenposeSettings(hands=True, face=True)),
    (RtmposeSettings(), RtmposeSettings(threshold=1.0)),
    pytest.param((MediapipeSettings(), MediapipeSettings(threshold=1.0)), marks=pytest.mark.shared),
    (DepthSettings(), DepthSettings(invert=True)),
    (SoftedgeSettings(), SoftedgeSettings(safe=True)),
    (SoftedgeSettings(method="pidi"), SoftedgeSettings(method="pidi", safe=True)),
    (ScribbleSettings(), ScribbleSettings(method="xdog")),
    (ScribbleSettings(method="pidi"), ScribbleSettings(method="xdog", threshold=90)),
    (LineartSettings(), LineartSettings(style="standard")),
    (LineartSettings(style="coarse"), LineartSettings()),
    (LineartAnimeSettings(), LineartAnimeSettings()),
    (NormalSettings(), NormalSettings()),
    (SegSettings(), SegSettings()),
    (TileSettings(), TileSettings(blur=9)),
    (InpaintSettings(), InpaintSettings()),
]
SLOW = frozenset({"openpose", "normal", "lineart_anime", "softedge", "scribble", "lineart"})  # seconds at full size


@pytest.fixture(
    scope="module",
    params=BOTH,
    ids=lambda both: "-".join(map(str, both[0].model_dump(exclude={"weights", "revision"}).values())),
)
def both(request: pytest.FixtureRequest, weights_of: Callable[[str], Path]) -> tuple[Any, list[Detector]]:
    """Return a detector's settings, and two of it side by side."""
    settings = [_located(each, weights_of) for each in request.param]
    return settings[0], [load_detector(each) for each in settings]


def _located(settings: Any, weights_of: Callable[[str], Path]) -> Any:
    if not isinstance(settings, NetworkSettings):
        return settings
    return settings.model_copy(update={"weights": str(weights_of(settings.name))})


def photo(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture with edges and colours that must not be written to."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([rows * 3 % 256, columns * 5 % 256, (rows // 24 + columns // 16) % 2 * 200], axis=2)
    pixels = pixels.astype(np.uint8)  # [H, W, 3]
    pixels.setflags(write=False)
    return pixels


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_the_map_has_the_pictures_size_and_the_picture_is_untouched(
    both: tuple[Any, list[Detector]], size: tuple[int, int]
) -> None:
    settings, (detector, _) = both
    pixels = photo(size)
    before = pixels.copy()
    drawn = detector(pixels)
    assert (drawn.shape, drawn.dtype) == ((*size, 3), np.uint8)
    assert (pixels == before).all()
    if settings.name not in SLOW or max(size) < 300:
        assert (detector(pixels) == drawn).all()


@pytest.mark.parametrize("value", [0, 255], ids=["black", "white"])
def test_a_flat_picture_gives_a_map_without_a_warning(both: tuple[Any, list[Detector]], value: int) -> None:
    _, (detector, _) = both
    with np.errstate(divide="raise", invalid="raise"):
        drawn = detector(np.full((64, 96, 3), value, np.uint8))
    assert (drawn.shape, drawn.dtype) == ((64, 96, 3), np.uint8)


def test_two_side_by_side_do_not_know_each_other(both: tuple[Any, list[Detector]]) -> None:
    _, (one, other) = both
    pixels = photo((96, 64))
    before = one(pixels)
    other(pixels)
    assert (one(pixels) == before).all()
