"""The detector that settings name, and what provenance shows of it."""

from pathlib import Path

import pytest

from pipeline.detectors.base import detector_version, load_detector, settings_json
from pipeline.errors import ModelError
from schemas.detectors import (
    ALL_SETTINGS,
    DETECTORS,
    CannySettings,
    NetworkSettings,
    OpenposeSettings,
    ScribbleSettings,
    Settings,
)

HERE = Path(__file__).parent


def test_every_detector_has_its_file_and_its_test() -> None:
    for name in DETECTORS:
        assert (HERE.parent.parent.parent / "pipeline" / "detectors" / f"{name}.py").is_file()
        assert (HERE / f"test_{name}.py").is_file()


@pytest.mark.parametrize("kind", [each for each in ALL_SETTINGS if not issubclass(each, NetworkSettings)])
def test_settings_choose_the_detector(kind: type[Settings]) -> None:
    loaded = load_detector(kind())  # type: ignore[arg-type]  # one of the union
    assert type(loaded).__name__ == kind.__name__.removesuffix("Settings")


def test_a_way_without_a_network_needs_no_weights() -> None:
    assert load_detector(ScribbleSettings(method="xdog", weights="/none"))
    with pytest.raises(ModelError, match=r"/none: ControlNetHED.pth not found"):
        load_detector(ScribbleSettings(weights="/none"))


def test_settings_are_shown_in_full() -> None:
    shown = settings_json(OpenposeSettings(hands=True))
    weights = '"revision": "main", "sha256": null, "weights": "lllyasviel/Annotators"'
    assert shown == f'{{"face": false, "hands": true, {weights}}}'


def test_settings_show_no_secret() -> None:
    secret = ScribbleSettings(weights="s3://key:secret@bucket/weights?X-Amz-Signature=abc")
    assert "secret" not in settings_json(secret)
    assert "abc" not in settings_json(secret)
    assert "bucket/weights" in settings_json(secret)


def test_the_library_and_its_version_are_named() -> None:
    assert detector_version(CannySettings()).startswith("opencv-python-headless 5.")
    assert detector_version(OpenposeSettings()) == "controlnet-aux 0.0.10"
