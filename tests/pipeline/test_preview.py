"""The preview's rows: the steps of a run in this process, each photo with what the detectors saw."""

from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.preview import preview_rows
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore")


def test_rows_come_in_the_order_of_the_photos_with_what_was_seen(photos: Path, recipe: Recipe) -> None:
    notes: list[str] = []
    named = [str(photos / name) for name in ("p003.jpg", "p000.jpg")]
    rows = preview_rows(named, recipe, cache=None, pictures=False, note=notes.append)
    assert [row["photo_id"] for row in rows] == named
    assert [each["origin"] for each in rows[0]["maps"]] == ["detected", "blank", "blank"]
    assert rows[0]["photo"] == rows[0]["pixels"]
    assert "picture" not in rows[0]
    assert notes == ["no weights for depth: its maps are blank", "no weights for openpose: its maps are blank"]


def test_with_pictures_they_are_a_runs_own(photos: Path, recipe: Recipe) -> None:
    (row,) = preview_rows([str(photos / "p000.jpg")], recipe, cache=None, pictures=True, note=lambda _: None)
    assert len(row["picture"]) == len(row["photo"]) == 64 * 64 * 3


def test_the_bases_weights_are_needed_for_pictures_alone(photos: Path) -> None:
    far = load_recipe("demo", ["area=4096", "base.name=/none"])
    named = [str(photos / "p000.jpg")]
    assert preview_rows(named, far, cache=None, pictures=False, note=lambda _: None)[0]["maps"]
    with pytest.raises(ModelError, match="/none"):
        preview_rows(named, far, cache=None, pictures=True, note=lambda _: None)
