"""The preview runs the steps in this process, and keeps the photo that the detectors received."""

from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.preview import PreviewRow, preview_rows
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe
from schemas.work import Failed

pytestmark = pytest.mark.filterwarnings("ignore")


def rows_and_notes(
    photos: list[str], recipe: Recipe, *, images: bool = False
) -> tuple[list[PreviewRow | Failed], list[str]]:
    notes: list[str] = []
    return preview_rows(photos, recipe, cache=None, images=images, note=notes.append), notes


def test_rows_are_in_the_order_of_the_photos(photos: Path, recipe: Recipe) -> None:
    named = [str(photos / name) for name in ("p003.jpg", "p000.jpg", "none.jpg")]
    (first, second, missing), notes = rows_and_notes(named, recipe)
    assert isinstance(first, PreviewRow)
    assert isinstance(second, PreviewRow)
    assert [row.planned.photo_id for row in (first, second, missing)] == named
    assert [each.origin for each in first.maps] == ["detected", "blank", "blank"]
    assert first.photo.shape == (64, 64, 3)
    assert first.image is None
    assert isinstance(missing, Failed)
    assert missing.failure.code == "fetch.not_found"
    assert notes == ["no weights for depth: its maps are blank", "no weights for openpose: its maps are blank"]


def test_images_have_the_size_of_the_photo(photos: Path, recipe: Recipe) -> None:
    (row,), _ = rows_and_notes([str(photos / "p000.jpg")], recipe, images=True)
    assert isinstance(row, PreviewRow)
    assert row.image is not None
    assert row.image.shape == row.photo.shape == (64, 64, 3)


def test_the_base_model_is_needed_for_images_only(photos: Path) -> None:
    missing = load_recipe("demo", ["area=4096", "base.name=/none"])
    named = [str(photos / "p000.jpg")]
    (row,), _ = rows_and_notes(named, missing)
    assert isinstance(row, PreviewRow)
    with pytest.raises(ModelError, match="/none"):
        rows_and_notes(named, missing, images=True)
