"""Inpaint: the picture; what a mask covers is taken out in `pipeline.controls`."""

from pipeline.detectors.inpaint import Inpaint
from schemas.detectors import InpaintSettings
from tests.pipeline.detectors.bare import photo


def test_it_is_the_very_picture() -> None:
    pixels = photo(64)
    assert Inpaint(InpaintSettings())(pixels) is pixels
