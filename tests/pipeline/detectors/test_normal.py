"""Normals: the library's to the byte, in its channels' order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.detectors.normal import Normal
from schemas.detectors import NormalSettings
from tests.pipeline.detectors.bare import bare_map, photo

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_map_is_the_librarys(weights_of: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    ours = Normal(NormalSettings(), weights_of("normal"), "cpu")
    pixels = photo(128)
    drawn = ours(pixels)
    assert (drawn == bare_map("NormalBaeDetector", (ours.network,), pixels)).all()
    assert drawn.std() > 0
    assert (drawn[..., 0] != drawn[..., 2]).any()
    assert capsys.readouterr().out == ""
