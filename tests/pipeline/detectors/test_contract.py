"""Properties of all detectors: size, type and reproducibility of their maps."""

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

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # ignores the warnings of libraries
SIZES = ((256, 256), (192, 320), (97, 65), (1, 1))  # height and width; the first two are multiples of 64
SMALL = 100  # pixels: slow detectors are tested for reproducibility only below this width and height
SLOW = frozenset({"openpose", "normal", "lineart_anime", "softedge", "scribble", "lineart"})
# The settings of a detector, and of a second detector of its class that is loaded in the same process.
PAIRS: list[Any] = [
    (CannySettings(), CannySettings(low=20, high=40)),
    (OpenposeSettings(), OpenposeSettings(hands=True, face=True)),
    (RtmposeSettings(), RtmposeSettings(threshold=1.0)),
    pytest.param((MediapipeSettings(), MediapipeSettings(threshold=1.0)), marks=pytest.mark.shared),
    (DepthSettings(), DepthSettings(invert=True)),
    (SoftedgeSettings(), SoftedgeSettings(safe=True)),
    (SoftedgeSettings(method="pidi"), SoftedgeSettings(method="pidi", safe=True)),
    (ScribbleSettings(), ScribbleSettings(method="xdog")),
    (ScribbleSettings(method="pidi"), ScribbleSettings(method="xdog", threshold=90)),
    (ScribbleSettings(method="xdog"), ScribbleSettings(method="xdog", threshold=90)),
    (LineartSettings(), LineartSettings(style="standard")),
    (LineartSettings(style="coarse"), LineartSettings()),
    (LineartSettings(style="standard"), LineartSettings(style="standard")),
    (LineartAnimeSettings(), LineartAnimeSettings()),
    (NormalSettings(), NormalSettings()),
    (SegSettings(), SegSettings()),
    (TileSettings(), TileSettings(blur=9)),
    (InpaintSettings(), InpaintSettings()),
]


@pytest.fixture(
    scope="module",
    params=PAIRS,
    ids=lambda pair: "-".join(map(str, pair[0].model_dump(exclude={"weights", "revision", "sha256"}).values())),
)
def pair(request: pytest.FixtureRequest, weights_of: Callable[[str], Path]) -> tuple[Any, Detector, Detector]:
    """Return the settings of a detector, the detector, and a second detector of its class."""
    first, second = (_with_weights(settings, weights_of) for settings in request.param)
    return first, load_detector(first), load_detector(second)


def _with_weights(settings: Any, weights_of: Callable[[str], Path]) -> Any:
    if not isinstance(settings, NetworkSettings):
        return settings
    return settings.model_copy(update={"weights": str(weights_of(settings.name))})


def read_only_image(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image with edges and colours, [height, width, 3], uint8, RGB, whose array is read-only."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([rows * 3 % 256, columns * 5 % 256, (rows // 24 + columns // 16) % 2 * 200], axis=2)
    pixels = pixels.astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_map_has_the_size_of_the_image_and_is_reproducible(
    pair: tuple[Any, Detector, Detector], size: tuple[int, int]
) -> None:
    settings, detector, second = pair
    pixels = read_only_image(size)
    before = pixels.copy()
    control_map = detector(pixels)
    assert (control_map.shape, control_map.dtype) == ((*size, 3), np.uint8)
    assert (pixels == before).all()
    if settings.name not in SLOW or max(size) < SMALL:
        second(pixels)  # must not change the maps of the first detector
        assert (detector(pixels) == control_map).all()


@pytest.mark.parametrize("value", [0, 255], ids=["black", "white"])
def test_flat_image_causes_no_floating_point_error(pair: tuple[Any, Detector, Detector], value: int) -> None:
    _, detector, _ = pair
    with np.errstate(divide="raise", invalid="raise"):
        control_map = detector(np.full((96, 64, 3), value, np.uint8))
    assert (control_map.shape, control_map.dtype) == ((96, 64, 3), np.uint8)
