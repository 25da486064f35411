"""What mode inpaint paints anew: the mask, the subject or the background; a photo without is a failure."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.detectors.seg import PALETTE
from pipeline.errors import ControlMapError
from pipeline.steps.inpaint_region import grow_region, inpaint_region, pixels_of_classes
from schemas.detectors import CannySettings
from schemas.recipe import Recipe
from schemas.work import Row
from tests.conftest import recipe_of

PERSON, SKY = 12, 2


def recipe(of: str, **region: object) -> Recipe:
    return recipe_of(CannySettings(), mode="inpaint", region={"of": of, **region})


@pytest.fixture
def row(decoded: Row) -> Row:
    """Return a row whose segmentation shows a person in its middle and sky around."""
    seen = np.tile(PALETTE[SKY], (64, 64, 1)).astype(np.uint8)
    seen[16:48, 24:40] = PALETTE[PERSON]
    mask = io.BytesIO()
    Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), 30)).save(mask, "png")
    maps = [{"detector": "canny", "pixels": b""}, {"detector": "seg", "pixels": seen.tobytes()}]
    return decoded | {"maps": maps, "mask": mask.getvalue()}


def test_mask_subject_and_background(row: Row) -> None:
    assert inpaint_region(row, recipe("mask")).sum() == 16
    person = inpaint_region(row, recipe("subject"))
    assert person.sum() == 32 * 16
    assert person[16:48, 24:40].all()
    assert (inpaint_region(row, recipe("background")) == ~person).all()


def test_a_region_grows_by_pixels(row: Row) -> None:
    larger = inpaint_region(row, recipe("subject", grow=2))
    assert larger[14, 30]
    assert not larger[13, 30]
    assert (grow_region(np.zeros((4, 4), np.bool_), 0) == 0).all()


@pytest.mark.parametrize(
    ("of", "changes", "said"),
    [("mask", {"mask": None}, "no mask_uri"), ("subject", {}, "no subject"), ("background", {}, "no background")],
)
def test_a_photo_without_one_is_a_failure(row: Row, of: str, changes: Row, said: str) -> None:
    every = np.tile(PALETTE[PERSON if of == "background" else SKY], (64, 64, 1)).astype(np.uint8)
    maps = [row["maps"][0], {"detector": "seg", "pixels": every.tobytes()}]
    with pytest.raises(ControlMapError, match=said):
        inpaint_region(row | {"maps": maps} | changes, recipe(of))


def test_classes_are_colours_of_the_palette() -> None:
    drawn = np.array([[PALETTE[3], PALETTE[126], PALETTE[12]]], np.uint8)
    assert pixels_of_classes(drawn, (12, 126)).tolist() == [[False, True, True]]
