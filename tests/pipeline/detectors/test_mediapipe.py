"""mediapipe's PoseLandmarker, the real network: people are where a person would put them, left is left."""

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
from pipeline.errors import ModelError
from schemas.detectors import MediapipeSettings

pytestmark = pytest.mark.shared
NOSE, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_EYE, LEFT_EYE = 0, 2, 5, 14, 15
# The astronaut's, placed by eye on the enlarged photo: eyes at their pupils, shoulders at the joints within the suit.
BY_EYE = {
    NOSE: (224, 124), RIGHT_EYE: (203, 101), LEFT_EYE: (247, 103), RIGHT_SHOULDER: (108, 245),
    LEFT_SHOULDER: (312, 258),
}  # fmt: skip
NEAR = 10.0  # pixels


@pytest.fixture(scope="module")
def detector(weights_of: Callable[[str], Path]) -> Mediapipe:
    return Mediapipe(MediapipeSettings(), weights_of("mediapipe"), "cpu")


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    from skimage import data

    return np.asarray(data.astronaut())


def assert_near(body: Points, scale: float = 1) -> None:
    for place, point in BY_EYE.items():
        assert np.abs(body[place] / scale - point).max() <= NEAR, place


def test_the_astronaut_is_found_where_she_is(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(astronaut)
    assert_near(person.body)
    assert np.isnan(person.body[8:14]).all()  # hips and legs are not in the photo


def test_nobody_is_in_the_coffee(detector: Mediapipe) -> None:
    from skimage import data

    assert detector.people(data.coffee()) == []
    assert not detector(data.coffee()).any()


def test_another_size_changes_nothing_but_the_scale(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(cv2.resize(astronaut, (800, 800)))
    assert_near(person.body, scale=800 / 512)


def test_in_a_mirror_left_is_right(detector: Mediapipe, astronaut: NDArray[np.uint8]) -> None:
    (person,) = detector.people(astronaut[:, ::-1])
    mirrored = 511 - person.body[:, 0]
    assert abs(mirrored[RIGHT_SHOULDER] - BY_EYE[LEFT_SHOULDER][0]) <= 2 * NEAR  # 204 lie between them
    assert abs(mirrored[LEFT_SHOULDER] - BY_EYE[RIGHT_SHOULDER][0]) <= 2 * NEAR


def test_two_people_are_two(
    detector: Mediapipe, astronaut: NDArray[np.uint8], weights_of: Callable[[str], Path]
) -> None:
    between = np.full((512, 300, 3), 255, np.uint8)
    both = np.concatenate([astronaut, between, astronaut], axis=1)
    people = sorted(detector.people(both), key=lambda person: float(person.body[NOSE, 0]))
    assert len(people) == 2
    for person, left_edge in zip(people, (0, 812), strict=True):
        for place in (NOSE, RIGHT_EYE, LEFT_EYE):  # in this wide picture it is less sure of shoulders in a bulky suit
            assert np.abs(person.body[place] - (left_edge, 0) - BY_EYE[place]).max() <= NEAR
        assert person.body[RIGHT_SHOULDER, 0] < person.body[NOSE, 0] < person.body[LEFT_SHOULDER, 0]
    alone = Mediapipe(MediapipeSettings(people=1), weights_of("mediapipe"), "cpu")
    assert len(alone.people(both)) == 1


def test_its_end_is_quiet(weights_of: Callable[[str], Path]) -> None:
    code = (
        "import pathlib; from pipeline.detectors.mediapipe import Mediapipe; "
        "from schemas.detectors import MediapipeSettings; "
        f"kept = Mediapipe(MediapipeSettings(), pathlib.Path({str(weights_of('mediapipe'))!r}), 'cpu')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_it_says_nothing(detector: Mediapipe, astronaut: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]) -> None:
    detector(astronaut)
    assert capfd.readouterr() == ("", "")


def test_a_bundle_that_is_none_is_a_fault_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "pose_landmarker_full.task").write_bytes(b"no bundle")
    with pytest.raises(ModelError, match="pose_landmarker_full.task: no bundle of mediapipe's"):
        Mediapipe(MediapipeSettings(), tmp_path, "cpu")


def test_a_missing_system_library_says_how_to_mend_it(
    weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> None:
        message = "libEGL.so.1: cannot open shared object file"
        raise OSError(message)

    monkeypatch.setattr("pipeline.detectors.mediapipe.PoseLandmarker.create_from_options", missing)
    with pytest.raises(ModelError, match="libEGL.so.1.* the packages libegl1 and libgles2"):
        Mediapipe(MediapipeSettings(), weights_of("mediapipe"), "cpu")
