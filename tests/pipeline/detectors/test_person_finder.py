"""Finding people: by the recipe's own detector, loaded once, and its troubles are the photo's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors.person_finder import PeopleFinder
from pipeline.errors import ControlMapError
from schemas.detectors import DepthSettings, RtmposeSettings

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def settings(weights_of: Callable[[str], Path]) -> RtmposeSettings:
    return RtmposeSettings(weights=str(weights_of("rtmpose")))


def test_keypoints_of_everyone_are_found_and_nobody_has_none(settings: RtmposeSettings) -> None:
    scene = np.zeros((64, 64, 3), np.uint8)
    assert PeopleFinder(settings)(scene).shape == (0, 2)
    scene[12:52, 38:58] = (255, 0, 0)
    found = PeopleFinder(settings)(scene)
    assert found.shape == (18, 2)
    assert np.abs(found.mean(axis=0) - (48, 32)).max() < 4


def test_it_is_loaded_once(settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    PeopleFinder(settings)(np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr("pipeline.detectors.person_finder.load_detector", None)
    PeopleFinder(settings.model_copy())(np.zeros((8, 8, 3), np.uint8))


def test_the_variants_of_a_photo_ask_once(settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.detectors.rtmpose import Rtmpose

    calls, people = [], Rtmpose.people
    monkeypatch.setattr(Rtmpose, "people", lambda *given: (calls.append(1), people(*given))[1])
    finder = PeopleFinder(settings)
    for value in (0, 0, 0, 9, 9, 0):
        finder(np.full((8, 8, 3), value, np.uint8))
    assert len(calls) == 3


def test_trouble_is_a_fault_of_the_photo(settings: RtmposeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        message = "no session"
        raise RuntimeError(message)

    monkeypatch.setattr("pipeline.detectors.rtmpose.Rtmpose.people", fail)
    with pytest.raises(ControlMapError, match="rtmpose: RuntimeError: no session"):
        PeopleFinder(settings)(np.zeros((8, 8, 3), np.uint8))


def test_a_detector_of_something_else_finds_no_people(weights_of: Callable[[str], Path]) -> None:
    with pytest.raises(TypeError, match="depth finds no people"):
        PeopleFinder(DepthSettings(weights=str(weights_of("depth"))))(np.zeros((64, 64, 3), np.uint8))
