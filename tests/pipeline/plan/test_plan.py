"""Plans: every row once, units named by their keys, and rows that are new, changed, or changed back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ColumnTypeError, ManifestFormatError
from pipeline.output import plan_store
from pipeline.plan import plan
from pipeline.storage.database import open_database
from schemas.arrow import to_rows
from schemas.work import Planned
from tests.planning import RECIPE, manifest_of, plan_into, planned, planned_rows, planning_of, rows_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def units_of(table: pa.Table) -> dict[str, list[str]]:
    """Return the keys of each unit."""
    units: dict[str, list[str]] = {}
    for unit, key in zip(table["unit"].to_pylist(), table["key"].to_pylist(), strict=True):
        units.setdefault(unit, []).append(key)
    return units


@settings(max_examples=10)
@given(st.lists(TEXTS, unique=True, min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 9))
def test_every_photo_and_variant_is_planned_once(ids: list[str], variants: int, size: int) -> None:
    table = planned(manifest_of(ids), variants=variants, size=size)
    found = list(zip(table["photo_id"].to_pylist(), table["variant"].to_pylist(), strict=True))
    assert sorted(found) == sorted((name, variant) for name in ids for variant in range(variants))
    assert all(len(keys) <= size for keys in units_of(table).values())
    assert len(set(table["key"].to_pylist())) == table.num_rows


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 20)))
def test_the_variants_of_a_photo_share_a_unit_if_they_fit(photos: int, variants: int, size: int | None) -> None:
    table = planned(manifest_of([f"p{n}" for n in range(photos)]), variants=variants, size=size)
    units: dict[str, set[str]] = {}
    for photo, unit in zip(table["photo_id"].to_pylist(), table["unit"].to_pylist(), strict=True):
        units.setdefault(photo, set()).add(unit)
    fits = size is None or variants <= size
    assert all(len(names) == 1 for names in units.values()) == fits


INTERNAL = [
    "rowid",
    "photo",
    "PHOTO",
    "place",
    "variant",
    "variants",
    "bucket",
    "number",
    "planned",
    "m",
    "key",
    "unit",
]


@pytest.mark.parametrize("names", [[name for name in INTERNAL if name != "PHOTO"], ["PHOTO"]])
@pytest.mark.parametrize("values", [[None, 7, None, -1, 2**62], ["x", None, "y", "1", ""], [0.5, None, 1.5, 2.5, 3.5]])
def test_columns_with_names_of_a_query_are_ordinary_columns(names: list[str], values: list[Any]) -> None:
    ids = ["a", "b", "c", "d", "e"]
    table = planned(manifest_of(ids, **dict.fromkeys(names, values)), variants=2, size=4)
    assert table["photo_id"].to_pylist() == [each for each in ids for _ in range(2)]
    assert [len(keys) for keys in units_of(table).values()] == [4, 4, 2]
    assert table["bucket"].null_count == table.num_rows
    extra = [json.loads(text) for text in table["manifest"].to_pylist()]
    assert extra == [dict.fromkeys(names, each) for each in values for _ in range(2)]


@settings(max_examples=10)
@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_the_order_of_the_manifest_does_not_change_the_plan(ids: list[str]) -> None:
    assert planned(manifest_of(ids), size=2) == planned(manifest_of(sorted(ids)), size=2)


def test_the_name_of_a_unit_depends_on_its_keys() -> None:
    ids = ["a", "b", "c"]
    whole, part = units_of(planned(manifest_of(ids), size=3)), units_of(planned(manifest_of(ids[:2]), size=3))
    assert not whole.keys() & part.keys()
    assert units_of(planned(manifest_of(ids), size=2)).keys() >= part.keys()


def test_the_index_names_the_place_of_each_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PART_ROWS", 8)
    with planning_of(manifest_of([f"p{number:02d}" for number in range(19)]), variants=2) as planning:
        new = plan.plan_new_rows(planning, [], 4)
        assert new is not None
        assert new.rows == 38
        assert list(new.stored().files) == [f"part-{number:05d}.parquet" for number in range(5)]
        for unit in new.units.to_pylist():
            rows = rows_of([new.stored()]).filter(pa.compute.field("unit") == unit["unit"])
            (only,) = (each for each in [unit["part"]] if each)
            part = plan_store.StoredPlan(1, str(new.folder), new.units, {only: None})
            assert rows_of([part]).slice(unit["start"], unit["rows"]) == rows


def test_units_have_one_bucket_if_the_manifest_has_sizes() -> None:
    sizes = {"width": [400, 300, 400, 300], "height": [300, 400, 300, 400]}
    table = planned(manifest_of(["a", "b", "c", "d"], **sizes), size=2)
    assert table["photo_id"].to_pylist() == ["b", "d", "a", "c"]
    assert table["bucket"].to_pylist() == ["192x320"] * 2 + ["320x192"] * 2


def test_photos_without_a_size_have_no_bucket() -> None:
    table = planned(manifest_of(["a", "b", "c"], width=[400, None, 0], height=[300, 400, 5]))
    assert dict(zip(table["photo_id"].to_pylist(), table["bucket"].to_pylist(), strict=True)) == {
        "a": "320x192", "b": None, "c": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "variants", "size"),
    [(6, 1, 1), (120, 1, 10), (1000, 1, 32), (640_000, 1, 32), (10_000_000, 1, 500), (10**9, 1, 512), (50, 40, 32)],
)
def test_units_grow_with_the_plan(rows: int, variants: int, size: int) -> None:
    assert plan.unit_size(rows, variants) == size


def test_a_value_out_of_range_is_refused() -> None:
    day = pa.array([2**62], pa.timestamp("ms"))
    with pytest.raises(ColumnTypeError):
        planned(manifest_of(["a"], day=day))


def test_text_that_is_not_utf8_is_refused() -> None:
    offsets = pa.py_buffer(np.array([0, 1], np.int32).tobytes())
    note = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    with pytest.raises(ManifestFormatError):
        planned(manifest_of(["a"], note=note))


def test_only_new_rows_are_planned_again(tmp_path: Path) -> None:
    first = plan_into(tmp_path, manifest_of(["a", "b"], etag=["1", "1"]), size=1)
    second = plan_into(tmp_path, manifest_of(["a", "b", "c"], etag=["2", "1", "1"]), size=1)
    assert (first.rows, second.rows) == (2, 3)  # the changed photo and the new one, and the old one without a record
    plans = plan_store.read_plans(str(tmp_path))
    assert [rows_of([each])["photo_id"].to_pylist() for each in plans] == [["a", "b"], ["a", "c"]]
    assert plan_into(tmp_path, manifest_of(["a", "b", "c"], etag=["2", "1", "1"])).rows == 3
    assert len(plan_store.read_plans(str(tmp_path))) == 2


def test_further_variants_are_planned_for_the_photos_of_an_earlier_plan(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"]), size=4)
    plan_into(tmp_path, manifest_of(["a", "b", "c"]), variants=3, size=4)
    latest = rows_of(plan_store.read_plans(str(tmp_path))[1:])
    found = list(zip(latest["photo_id"].to_pylist(), latest["variant"].to_pylist(), strict=True))
    assert found == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 0), ("c", 1), ("c", 2)]


def test_later_variants_of_a_photo_share_a_unit(tmp_path: Path) -> None:
    for variants in (3, 5):
        plan_into(tmp_path, manifest_of(["a", "b"]), variants=variants, size=3)
    latest = rows_of(plan_store.read_plans(str(tmp_path))[1:])
    names = dict.fromkeys(latest["unit"].to_pylist())
    assert [latest["unit"].to_pylist().count(name) for name in names] == [2, 2]
    assert latest["variant"].to_pylist() == [3, 4, 3, 4]


def test_a_row_that_changed_back_is_current_again(tmp_path: Path) -> None:
    old, new = manifest_of(["a", "b"], etag=["1", "1"]), manifest_of(["a", "b"], etag=["2", "1"])
    for table in (old, new):
        plan_into(tmp_path, table, size=1)
    back = plan_into(tmp_path, old, size=1)
    plans = plan_store.read_plans(str(tmp_path))
    assert [each.units.num_rows for each in plans] == [2, 1, 0]
    again = rows_of(plans[2:])
    assert again.to_pylist() == rows_of(plans[:1]).filter(pa.compute.field("photo_id") == "a").to_pylist()
    with planning_of(old) as planning:
        plan_store.open_plans(plans, planning.database)
        plan_store.find_superseded(plans, planning.database)
        superseded = planning.database.rows("SELECT key FROM superseded")
    assert superseded == [(key,) for key in rows_of(plans[1:2])["key"].to_pylist()]
    assert back.rows == 2
    assert plan_into(tmp_path, old).rows == 2
    assert len(plan_store.read_plans(str(tmp_path))) == 3


def drop_removed(output: Path, table: pa.Table, images: list[str]) -> None:
    """Add the changes of a manifest to the plans of an output, in which the photos `images` are converted."""
    with planning_of(table) as planning:
        plans = plan_store.read_plans(str(output))
        keys = {row["photo_id"]: row["key"] for row in rows_of(plans).to_pylist()}
        records = pa.table({"key": [keys[name] for name in images], "status": ["done"] * len(images)})
        planning.database.connection.register("records", records)
        new = plan.plan_new_rows(planning, plans, drop_removed=True)
        assert new is not None
        plan_store.write_plan(str(output), new)


def current_photos(output: Path) -> set[str]:
    """Return the photos of the planned rows that are not superseded."""
    plans = plan_store.read_plans(str(output))
    with open_database() as database:
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        return {name for (name,) in database.rows("SELECT photo_id FROM plan ANTI JOIN superseded USING (key)")}


def test_removed_photos_without_an_image_are_dropped_until_they_return(tmp_path: Path) -> None:
    every, some = manifest_of(["a", "b", "c"]), manifest_of(["a"])
    plan_into(tmp_path, every, size=1)
    assert plan_into(tmp_path, some).absent_rows == 2
    drop_removed(tmp_path, some, images=["b"])
    assert current_photos(tmp_path) == {"a", "b"}
    assert plan_into(tmp_path, some).absent_rows == 1
    assert plan_into(tmp_path, every).rows == 3
    assert current_photos(tmp_path) == {"a", "b", "c"}
    assert [each.units.num_rows for each in plan_store.read_plans(str(tmp_path))] == [3, 0, 0]


def test_photos_on_the_command_line_keep_their_order() -> None:
    rows = to_rows(plan.plan_photos(["/b.jpg", "/a.jpg"], RECIPE), Planned)
    assert [row.uri for row in rows] == ["/b.jpg", "/a.jpg"]
    assert rows[0].prompt == RECIPE.prompt
    keys: dict[str, Any] = {row.photo_id: row.key for row in planned_rows(manifest_of(["/b.jpg"]))}
    assert keys["/b.jpg"] != rows[0].key  # its address differs


def test_photos_on_the_command_line_keep_their_credentials() -> None:
    uris = ["https://u:p@host/x.jpg?id=1", "https://u:p@host/x.jpg?id=2", "/a.jpg"]
    rows = to_rows(plan.plan_photos([*uris, "/a.jpg"], RECIPE), Planned)
    assert [row.uri for row in rows] == uris
    assert [row.photo_id for row in rows] == ["https://host/x.jpg", "https://host/x.jpg (1)", "/a.jpg"]
