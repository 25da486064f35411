"""The region that mode inpaint paints: the mask, the subject or the background."""

import numpy as np
import pytest

from pipeline.detectors.seg import PALETTE
from pipeline.errors import MissingMaskError, RegionNotFoundError
from pipeline.steps.inpaint_region import grow_region, inpaint_region, pixels_of_classes
from schemas.detectors import CannySettings
from schemas.recipe import Recipe
from schemas.row_parts import ControlMap
from schemas.work import Decoded, Mapped
from tests.conftest import recipe_of
from tests.rows import edit, mapped_row, png

PERSON, SKY = 12, 2


def recipe(of: str, **region: object) -> Recipe:
    return recipe_of(CannySettings(), mode="inpaint", region={"of": of, **region})


def segmentation(background: int) -> np.ndarray:
    return np.tile(PALETTE[background], (64, 64, 1)).astype(np.uint8)


@pytest.fixture
def row(decoded: Decoded) -> Mapped:
    """Return a row whose segmentation shows a person in the middle of the sky."""
    control_map = segmentation(SKY)
    control_map[16:48, 24:40] = PALETTE[PERSON]
    mask = png(np.pad(np.full((4, 4), 255, np.uint8), 30))
    masked = edit(decoded, canvas={"mask": mask})
    return mapped_row(masked, ControlMap("canny"), ControlMap("seg", pixels=control_map))


def test_mask_subject_and_background(row: Mapped) -> None:
    assert inpaint_region(row, recipe("mask")).sum() == 16
    person = inpaint_region(row, recipe("subject"))
    assert person.sum() == 32 * 16
    assert person[16:48, 24:40].all()
    assert (inpaint_region(row, recipe("background")) == ~person).all()


def test_a_region_grows_by_pixels(row: Mapped) -> None:
    larger = inpaint_region(row, recipe("subject", grow=2))
    assert larger[14, 30]
    assert not larger[13, 30]
    assert (grow_region(np.zeros((4, 4), np.bool_), 0) == 0).all()


def test_a_photo_without_a_mask_is_an_error(row: Mapped) -> None:
    with pytest.raises(MissingMaskError):
        inpaint_region(edit(row, canvas={"mask": None}), recipe("mask"))


@pytest.mark.parametrize(("of", "everywhere"), [("subject", SKY), ("background", PERSON)])
def test_a_photo_without_the_region_is_an_error(row: Mapped, of: str, everywhere: int) -> None:
    maps = (row.maps[0], ControlMap("seg", pixels=segmentation(everywhere)))
    with pytest.raises(RegionNotFoundError):
        inpaint_region(edit(row, maps=maps), recipe(of))


def test_classes_are_colours_of_the_palette() -> None:
    pixels = np.array([[PALETTE[3], PALETTE[126], PALETTE[12]]], np.uint8)
    assert pixels_of_classes(pixels, (12, 126)).tolist() == [[False, True, True]]
