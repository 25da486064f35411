"""The detector that settings name, and the settings that provenance shows."""

from pipeline.detectors import load_detector, settings_json
from pipeline.detectors.canny import Canny
from schemas.detectors import CannySettings, OpenposeSettings


def test_settings_choose_the_detector() -> None:
    assert isinstance(load_detector(CannySettings()), Canny)


def test_settings_are_shown_in_full() -> None:
    shown = settings_json(OpenposeSettings(hands=True))
    assert shown == '{"face": false, "hands": true, "revision": "main", "weights": "lllyasviel/Annotators"}'
