"""mediapipe's PoseLandmarker with its published weights."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detectors.keypoints import Points
from pipeline.detectors.mediapipe import Mediapipe
from pipeline.errors import MissingPackageError, ModelError
from schemas.detectors import MediapipeSettings

pytestmark = pytest.mark.shared
NOSE, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_EYE, LEFT_EYE = 0, 2, 5, 14, 15
# Keypoints of the astronaut, annotated by hand: the nose, the pupils, and the shoulder joints inside the suit.
ANNOTATED = {
    NOSE: (224, 124), RIGHT_EYE: (203, 101), LEFT_EYE: (247, 103), RIGHT_SHOULDER: (108, 245),
    LEFT_SHOULDER: (312, 258),
}  # fmt: skip
TOLERANCE = 10.0  # pixels


@pytest.fixture(scope="module")
def detector(weights_of: Callable[[str], Path]) -> Mediapipe:
    return Mediapipe(MediapipeSettings(), weights_of("mediapipe"), "cpu")


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    from skimage import data

    return np.asarray(data.astronaut())


def assert_near(body: Points, scale: float = 1) -> None:
    for index, point in ANNOTATED.items():
        assert np.abs(body[index] / scale - point).max() <= TOLERANCE, index


def test_keypoints_are_near_the_annotated_ones(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(astronaut)
    assert_near(person.body)
    assert np.isnan(person.body[8:14]).all()  # the photo does not show hips and legs


def test_map_of_a_photo_without_people_is_black(detector: Mediapipe) -> None:
    from skimage import data

    assert detector.people(data.coffee()) == []
    assert not detector(data.coffee()).any()


def test_keypoints_scale_with_the_image(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(cv2.resize(astronaut, (800, 800)))
    assert_near(person.body, scale=800 / 512)


def test_left_and_right_are_swapped_in_a_mirrored_image(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(astronaut[:, ::-1])
    mirrored = 511 - person.body[:, 0]
    # The shoulders are 204 pixels apart.
    assert abs(mirrored[RIGHT_SHOULDER] - ANNOTATED[LEFT_SHOULDER][0]) <= 2 * TOLERANCE
    assert abs(mirrored[LEFT_SHOULDER] - ANNOTATED[RIGHT_SHOULDER][0]) <= 2 * TOLERANCE


def test_several_people_are_detected(
    detector: Mediapipe, astronaut: NDArray[np.uint8], weights_of: Callable[[str], Path]
) -> None:
    between = np.full((512, 300, 3), 255, np.uint8)
    both = np.concatenate([astronaut, between, astronaut], axis=1)
    people = sorted(detector.people(both), key=lambda person: float(person.body[NOSE, 0]))
    assert len(people) == 2
    for person, left_edge in zip(people, (0, 812), strict=True):
        for index in (NOSE, RIGHT_EYE, LEFT_EYE):  # the shoulders are less accurate in such a wide image
            assert np.abs(person.body[index] - (left_edge, 0) - ANNOTATED[index]).max() <= TOLERANCE
        assert person.body[RIGHT_SHOULDER, 0] < person.body[NOSE, 0] < person.body[LEFT_SHOULDER, 0]
    single = Mediapipe(MediapipeSettings(people=1), weights_of("mediapipe"), "cpu")
    assert len(single.people(both)) == 1


@pytest.mark.slow
def test_nothing_is_logged_when_the_process_exits(weights_of: Callable[[str], Path]) -> None:
    code = (
        "import pathlib; from pipeline.detectors.mediapipe import Mediapipe; "
        "from schemas.detectors import MediapipeSettings; "
        f"detector = Mediapipe(MediapipeSettings(), pathlib.Path({str(weights_of('mediapipe'))!r}), 'cpu')"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("", "")


def test_nothing_is_logged(
    detector: Mediapipe, astronaut: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    detector(astronaut)
    assert capfd.readouterr() == ("", "")


def test_invalid_bundle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pose_landmarker_full.task").write_bytes(b"not a bundle")
    with pytest.raises(ModelError, match="pose_landmarker_full.task"):
        Mediapipe(MediapipeSettings(), tmp_path, "cpu")


def test_missing_system_library_is_an_error(weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr("pipeline.detectors.mediapipe.PoseLandmarker.create_from_options", missing)
    with pytest.raises(MissingPackageError, match="libEGL.so.1"):
        Mediapipe(MediapipeSettings(), weights_of("mediapipe"), "cpu")
