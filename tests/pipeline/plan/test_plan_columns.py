"""The columns of a plan: keys, seeds, addresses without credentials, and extra columns as JSON."""

import datetime as dt
import decimal
import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest

from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe
from tests.planning import RECIPE, manifest_of, planned_rows


def key_of(recipe: Recipe = RECIPE, **columns: Any) -> str:
    (row,) = planned_rows(manifest_of(["a"], **columns), recipe)
    return row.key


def extra_of(**columns: Any) -> Any:
    (row,) = planned_rows(manifest_of(["a"], **columns))
    return json.loads(row.manifest, parse_constant=pytest.fail)


def test_seeds_depend_on_run_seed_photo_and_variant_only() -> None:
    rows = planned_rows(manifest_of(["a", "b"]), variants=2)
    rows += planned_rows(manifest_of(["a", "b"]), load_recipe("demo", ["seed=1"]), variants=2)
    assert len({row.seed for row in rows}) == 8
    assert all(0 <= row.seed < 2**63 for row in rows)
    (changed,) = planned_rows(manifest_of(["a"], etag=["new"]))
    assert changed.seed == next(row.seed for row in rows if (row.photo_id, row.variant) == ("a", 0))


def test_keys_and_seeds_never_change() -> None:
    (row,) = planned_rows(manifest_of(["ü/a b.jpg"], etag=["1"]))
    assert row.seed == int(hashlib.sha256("2 0 0 ü/a b.jpg".encode()).hexdigest()[:16], 16) >> 1
    assert row.key == key_of_known_row(row.recipe_digest)


def key_of_known_row(digest: str) -> str:
    """Return the key of version 2 of a photo without further columns."""
    content = [2, "ü/a b.jpg", 0, digest, "/photos/ü/a b.jpg", *[None] * 8, "{}", "1", None, None]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    "change",
    [
        {"etag": ["2"]},
        {"bytes": [5]},
        {"modified": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]},
        {"pose_keypoints": [[[1.0] * 51]]},
        {"keypoints": [[[1.0, 2.0, 2.0]]]},
        {"boxes": [[{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "cat"}]]},
        {"mask_uri": ["/m.png"]},
        {"canny_uri": ["/c.png"]},
        {"depth_uri": ["/d.png"]},
        {"uri": ["/elsewhere/a"]},
        {"prompt": ["a cat"]},
        {"negative_prompt": ["a dog"]},
    ],
)
def test_the_key_depends_on_what_decides_the_image(change: dict[str, list[Any]]) -> None:
    assert key_of(**change) != key_of()


def test_the_key_does_not_depend_on_other_columns() -> None:
    assert key_of(label=["cat"]) == key_of()
    assert key_of(width=[640], height=[480]) == key_of()
    assert key_of(uri=["https://host/a.jpg?sig=1"]) == key_of(uri=["https://host/a.jpg?sig=2"])
    first, second = (
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    )
    assert key_of(etag=["1"], modified=[first]) == key_of(etag=["1"], modified=[second])


def test_the_key_depends_on_the_columns_that_a_prompt_names() -> None:
    recipe = load_recipe("demo", ["prompt='anime, {caption}'"])
    assert key_of(recipe, caption=["x"], label=[1]) == key_of(recipe, caption=["x"], label=[2])
    assert key_of(recipe, caption=["x"]) != key_of(recipe, caption=["y"])
    assert key_of(prompt=["{label}"], label=[1]) != key_of(prompt=["{label}"], label=[2])
    assert key_of(prompt=["plain"], label=[1]) == key_of(prompt=["plain"], label=[2])


def test_addresses_have_no_credentials() -> None:
    columns = {
        "uri": ["https://u:p@host/a.jpg?sig=secret"],
        "mask_uri": ["s3://k:v@b/m.png"],
        "depth_uri": ["/d#1.png"],
    }
    (row,) = planned_rows(manifest_of(["a"], **columns))
    assert (row.uri, row.mask_uri) == ("https://host/a.jpg", "s3://b/m.png")
    assert [(each.detector, each.uri) for each in row.map_uris or ()] == [("depth", "/d#1.png")]


def test_maps_are_planned_for_the_detectors_of_the_recipe() -> None:
    columns = {"depth_uri": ["", "d.png"], "seg_uri": ["/s.png", "/s.png"]}
    first, second = planned_rows(manifest_of(["a", "b"], **columns))
    assert first.map_uris is None
    assert [each.detector for each in second.map_uris or ()] == ["depth"]
    assert json.loads(second.manifest) == {"seg_uri": "/s.png"}


def test_a_reference_is_planned_for_an_ip_adapter_only() -> None:
    columns = {"reference_uri": ["https://u:p@host/style.png?sig=1"]}
    adapted = Recipe.model_validate(RECIPE.model_dump() | {"ip_adapter": {}})
    assert planned_rows(manifest_of(["a"], **columns), adapted)[0].reference_uri == "https://host/style.png"
    assert planned_rows(manifest_of(["a"], **columns))[0].reference_uri is None


def test_extra_columns_are_strict_json_without_credentials() -> None:
    digest = hashlib.sha256(b"xy").hexdigest()
    columns = {
        "note": ['see https://x/?q="abc" there'],
        "weight": [float("nan")],
        "raw": [b"xy"],
        "more": [{"u": "s3://k:v@b", 'odd "na,me"': [1.5, float("inf")]}],
        "several": [["https://u:p@h/", None]],
        "pairs": pa.array([[("https://u:p@h/", 1.0)]], pa.map_(pa.string(), pa.float64())),
        "missing": pa.nulls(1),
        "when": [dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)],
        "price": [decimal.Decimal("1.50")],
        "true": [True],
        'a "quoted" name': ["it's"],
    }
    assert extra_of(**columns) == {
        "note": "see https://x/ there",
        "weight": None,
        "raw": f"sha256:{digest}",
        "more": {"u": "s3://b", 'odd "na,me"': [1.5, None]},
        "several": ["https://h/", None],
        "pairs": [{"key": "https://h/", "value": 1.0}],
        "missing": None,
        "when": "2026-01-02 03:00:00+00",
        "price": 1.5,
        "true": True,
        'a "quoted" name': "it's",
    }


def test_an_invalid_address_in_a_text_is_kept() -> None:
    assert "see" in extra_of(uri_note=["see http://[link] here"])["uri_note"]
