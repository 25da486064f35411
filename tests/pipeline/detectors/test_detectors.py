"""Loading a detector by its settings, and what provenance records about it."""

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


def test_each_detector_has_a_module_and_a_test() -> None:
    for name in DETECTORS:
        assert (HERE.parent.parent.parent / "pipeline" / "detectors" / f"{name}.py").is_file()
        assert (HERE / f"test_{name}.py").is_file()


@pytest.mark.parametrize("kind", [kind for kind in ALL_SETTINGS if not issubclass(kind, NetworkSettings)])
def test_settings_select_the_detector(kind: type[Settings]) -> None:
    loaded = load_detector(kind())  # type: ignore[arg-type]  # one of the union
    assert type(loaded).__name__ == kind.__name__.removesuffix("Settings")


def test_method_without_a_network_needs_no_weights() -> None:
    assert load_detector(ScribbleSettings(method="xdog", weights="/none"))
    with pytest.raises(ModelError, match=r"ControlNetHED.pth"):
        load_detector(ScribbleSettings(weights="/none"))


def test_provenance_has_all_settings() -> None:
    weights = '"revision": "main", "sha256": null, "weights": "lllyasviel/Annotators"'
    assert settings_json(OpenposeSettings(hands=True)) == f'{{"face": false, "hands": true, {weights}}}'


def test_provenance_has_no_credentials() -> None:
    recorded = settings_json(ScribbleSettings(weights="s3://key:secret@bucket/weights?X-Amz-Signature=abc"))
    assert "secret" not in recorded
    assert "abc" not in recorded
    assert "bucket/weights" in recorded


def test_version_is_that_of_the_library() -> None:
    assert detector_version(CannySettings()).startswith("opencv-python-headless 5.")
    assert detector_version(OpenposeSettings()) == "controlnet-aux 0.0.10"
