"""The keypoints of the people in a photo, by the pose detector of a recipe."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.person_finder import PeopleFinder
from pipeline.errors import DetectorFailedError
from schemas.detectors import DepthSettings, RtmposeSettings

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def settings(weights_of: Callable[[str], Path]) -> RtmposeSettings:
    return RtmposeSettings(weights=str(weights_of("rtmpose")))


def test_keypoints_of_all_people_are_returned(settings: RtmposeSettings) -> None:
    scene = np.zeros((64, 64, 3), np.uint8)
    assert PeopleFinder(settings)(scene).shape == (0, 2)
    scene[12:52, 38:58] = (255, 0, 0)
    points = PeopleFinder(settings)(scene)
    assert points.shape == (18, 2)
    assert np.abs(points.mean(axis=0) - (48, 32)).max() < 4


def test_detector_is_loaded_once(settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    PeopleFinder(settings)(np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr("pipeline.detectors.person_finder.load_detector", None)
    PeopleFinder(settings.model_copy())(np.zeros((8, 8, 3), np.uint8))


def test_detector_runs_once_for_equal_images_in_a_row(
    settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.detectors.rtmpose import Rtmpose

    calls, people = [], Rtmpose.people
    monkeypatch.setattr(Rtmpose, "people", lambda *args: (calls.append(1), people(*args))[1])
    finder = PeopleFinder(settings)
    for value in (0, 0, 0, 9, 9, 0):
        finder(np.full((8, 8, 3), value, np.uint8))
    assert len(calls) == 3


def test_error_of_the_detector_is_an_error_of_the_photo(
    settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no session")

    monkeypatch.setattr("pipeline.detectors.rtmpose.Rtmpose.people", fail)
    with pytest.raises(DetectorFailedError, match="rtmpose.*no session"):
        PeopleFinder(settings)(np.zeros((8, 8, 3), np.uint8))


def test_detector_without_people_is_an_error(weights_of: Callable[[str], Path]) -> None:
    with pytest.raises(TypeError, match="depth"):
        PeopleFinder(DepthSettings(weights=str(weights_of("depth"))))(np.zeros((64, 64, 3), np.uint8))
