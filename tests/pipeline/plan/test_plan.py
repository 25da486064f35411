"""Plans: every row once, units named by their keys, and what is left to do."""

import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.errors import ColumnTypeError, DamagedOutputError, ManifestPromptError
from pipeline.output import plan_store
from pipeline.plan import plan
from pipeline.plan.manifest import check_manifest
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe
from schemas.work import PLAN, Planned

RECIPE = load_recipe("demo")


def manifest(ids: list[str], **columns: list[Any]) -> pa.Table:
    return check_manifest(pa.table({"photo_id": ids, "uri": [f"/photos/{name}" for name in ids], **columns}), "m")


def rows(ids: list[str], recipe: Recipe = RECIPE, variants: int = 1, **columns: list[Any]) -> list[Planned]:
    return plan.plan_rows(manifest(ids, **columns), recipe, variants)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 9))
def test_every_photo_and_variant_is_planned_once(ids: list[str], variants: int, size: int) -> None:
    planned = plan.cut_units(rows(ids, variants=variants), size)
    found = list(zip(planned["photo_id"].to_pylist(), planned["variant"].to_pylist(), strict=True))
    assert sorted(found) == sorted((name, variant) for name in ids for variant in range(variants))
    units: dict[str, list[str]] = {}
    for unit, key in zip(planned["unit"].to_pylist(), planned["key"].to_pylist(), strict=True):
        units.setdefault(unit, []).append(key)
    assert all(len(keys) <= size and plan.unit_name(keys) == unit for unit, keys in units.items())
    assert len(set(planned["key"].to_pylist())) == planned.num_rows


@given(st.integers(1, 12), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 20)))
def test_the_variants_of_a_photo_share_a_unit_if_they_fit(photos: int, variants: int, size: int | None) -> None:
    planned = plan.cut_units(rows([f"p{n}" for n in range(photos)], variants=variants), size)
    units: dict[str, set[str]] = {}
    for photo, unit in zip(planned["photo_id"].to_pylist(), planned["unit"].to_pylist(), strict=True):
        units.setdefault(photo, set()).add(unit)
    fits = size is None or variants <= size
    assert all(len(names) == 1 for names in units.values()) == fits


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_the_order_of_the_manifest_does_not_change_the_plan(ids: list[str]) -> None:
    assert plan.cut_units(rows(ids), 2) == plan.cut_units(rows(sorted(ids)), 2)


def test_seeds_depend_on_run_seed_photo_and_variant_only() -> None:
    assert plan.seed_of(0, "a", 0) == plan.seed_of(0, "a", 0)
    seeds = {plan.seed_of(seed, photo, variant) for seed in (0, 1) for photo in ("a", "b") for variant in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert rows(["a"])[0].seed == rows(["a"], etag=["new"])[0].seed


@pytest.mark.parametrize(
    "change",
    [
        {"etag": ["2"]},
        {"pose_keypoints": [[[1.0] * 51]]},
        {"keypoints": [[[1.0, 2.0, 2.0]]]},
        {"boxes": [[{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "cat"}]]},
        {"mask_uri": ["/m.png"]},
        {"canny_uri": ["/c.png"]},
        {"depth_uri": ["/d.png"]},
        {"bytes": [5]},
        {"uri": ["/elsewhere/a"]},
    ],
)
def test_the_key_depends_on_what_decides_the_image(change: dict[str, list[Any]]) -> None:
    table = manifest(["a"])
    for name, values in change.items():
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type)
        )
    assert plan.plan_rows(table, RECIPE, 1)[0].key != rows(["a"])[0].key


def test_the_key_does_not_depend_on_other_columns() -> None:
    before = rows(["a"])[0].key
    assert rows(["a"], label=["cat"])[0].key == before
    assert rows(["a"], width=[640], height=[480])[0].key == before
    signed = pa.table({"photo_id": ["a"], "uri": ["https://host/a.jpg?sig=1"]})
    again = pa.table({"photo_id": ["a"], "uri": ["https://host/a.jpg?sig=2"]})
    keys = [plan.plan_rows(check_manifest(table, "m"), RECIPE, 1)[0].key for table in (signed, again)]
    assert keys[0] == keys[1]


def test_the_plan_has_no_credentials_and_the_work_has_them() -> None:
    table = pa.table(
        {"photo_id": ["a"], "uri": ["https://u:p@host/a.jpg?sig=secret"], "note": ["see s3://k:v@b/x?token=1"]}
    )
    whole = plan.plan_rows(check_manifest(table, "m"), RECIPE, 1)
    planned = plan.cut_units(whole)
    stored = planned.to_pylist()[0]
    assert stored["uri"] == "https://host/a.jpg"
    assert stored["manifest"] == '{"note": "see s3://b/x"}'
    (unit,) = plan.remaining_work(planned, set(), RECIPE.digest, whole).units.values()
    assert unit["uri"].to_pylist() == ["https://u:p@host/a.jpg?sig=secret"]


def test_prompts_use_the_columns_of_the_manifest() -> None:
    recipe = load_recipe("demo", ["prompt='anime, {caption}'", "negative_prompt='{bad}'"])
    made = rows(["a", "b"], recipe, caption=["a {cat}", None], bad=[1, 2])
    assert [(row.prompt, row.negative_prompt) for row in made] == [("anime, a {cat}", "1"), ("anime, ", "2")]
    with pytest.raises(ManifestPromptError, match="'bad'"):
        rows(["a"], recipe, caption=["x"])


def test_a_value_out_of_range_is_refused() -> None:
    table = pa.table({"photo_id": ["a"], "uri": ["/a.jpg"], "day": pa.array([2**62], pa.timestamp("ms"))})
    with pytest.raises(ColumnTypeError):
        plan.plan_rows(check_manifest(table, "m"), load_recipe("demo"), 1)


def test_units_have_one_bucket_if_the_manifest_has_sizes() -> None:
    planned = plan.cut_units(rows(["a", "b", "c", "d"], width=[400, 300, 400, 300], height=[300, 400, 300, 400]), 2)
    assert planned["photo_id"].to_pylist() == ["b", "d", "a", "c"]
    assert planned["bucket"].to_pylist() == ["192x320"] * 2 + ["320x192"] * 2


def test_plans_are_read_in_the_order_they_were_written(tmp_path: Any) -> None:
    first, second = plan.cut_units(rows(["a", "b"])), plan.cut_units(rows(["c"]))
    plan_store.write_plan(str(tmp_path), first)
    plan_store.write_plan(str(tmp_path), second)
    assert plan_store.read_plans(str(tmp_path)) == pa.concat_tables([first, second])
    assert [name[:5] for name in storage.names(f"{tmp_path}/_plan")] == ["00001", "00002"]


def test_a_damaged_plan_is_an_error(tmp_path: Any) -> None:
    storage.put(f"{tmp_path}/_plan/00001-x.parquet", b"no parquet")
    with pytest.raises(DamagedOutputError):
        plan_store.read_plans(str(tmp_path))


def test_remaining_work_is_in_the_manifest_and_has_no_record() -> None:
    old, new = rows(["a", "b"], etag=["1", "1"]), rows(["a"], etag=["2"])
    plans = pa.concat_tables([plan.cut_units(old, 1), plan.cut_units(new, 1)])
    assert plan_store.superseded_keys(plans) == {row.key for row in old if row.photo_id == "a"}
    work = plan.remaining_work(plans, set(), RECIPE.digest, [*new, *(row for row in old if row.photo_id == "b")])
    left = sorted((row["photo_id"], row["key"]) for unit in work.units.values() for row in unit.to_pylist())
    assert left == sorted([("a", new[0].key), ("b", next(row.key for row in old if row.photo_id == "b"))])
    done = plan.remaining_work(plans, set(plans["unit"].to_pylist()), RECIPE.digest, new)
    assert (done.rows, done.done_rows) == (0, 1)


def test_a_row_that_changed_back_is_current_again() -> None:
    first, second = rows(["a", "b"], etag=["1", "1"]), rows(["a", "b"], etag=["2", "1"])
    known = plan.plan_new_rows(first, PLAN.empty_table(), 1)
    known = pa.concat_tables([known, plan.plan_new_rows(second, known, 1)])
    assert known.num_rows == 3
    back = plan.plan_new_rows(first, known, 1)
    assert back["key"].to_pylist() == [first[0].key]
    plans = pa.concat_tables([known, back])
    assert plan_store.superseded_keys(plans) == {second[0].key}
    assert plan.plan_new_rows(first, plans, 1).num_rows == 0
    work = plan.remaining_work(plans, set(), RECIPE.digest, first)
    assert sorted(unit.num_rows for unit in work.units.values()) == [1, 1]
    assert plan.remaining_work(plans, set(plans["unit"].to_pylist()), RECIPE.digest, first).done_rows == 2


def test_extra_columns_are_strict_json_without_credentials() -> None:
    further = {
        "note": ['see https://x/?q="abc" there'],
        "weight": [float("nan")],
        "raw": [b"xy"],
        "more": [{"u": "s3://k:v@b"}],
    }
    (row,) = rows(["a"], **further)
    carried = json.loads(row.manifest, parse_constant=pytest.fail)
    digest = hashlib.sha256(b"xy").hexdigest()
    assert carried == {
        "note": 'see https://x/"abc" there',
        "weight": None,
        "raw": f"sha256:{digest}",
        "more": {"u": "s3://b"},
    }


def test_an_invalid_address_in_a_text_is_kept() -> None:
    (row,) = rows(["a"], uri_note=["see http://[link] here"])
    assert "see" in row.manifest


def test_units_of_another_recipe_are_not_remaining_work() -> None:
    plans = plan.cut_units(rows(["a"]))
    assert plan.remaining_work(plans, set(), "another digest", []).rows == 0


def test_small_plans_have_small_units() -> None:
    for count, largest in ((6, 1), (120, 10), (1000, 32)):
        planned = plan.cut_units(rows([f"p{number}" for number in range(count)]))
        sizes = [entry["counts"] for entry in planned["unit"].value_counts().to_pylist()]
        assert max(sizes) == largest


def test_choices_differ_between_variants_and_are_reproducible() -> None:
    recipe = load_recipe("demo", ["prompt='{red|green|blue|white} hair, {caption}'"])
    table = check_manifest(pa.table({"photo_id": ["a"], "uri": ["a.jpg"], "caption": ["{x|y}"]}), "m")
    made = plan.plan_rows(table, recipe, 20)
    prompts = [row.prompt for row in made]
    assert set(prompts) == {f"{color} hair, {{x|y}}" for color in ("red", "green", "blue", "white")}
    assert prompts == [row.prompt for row in plan.plan_rows(table, recipe, 20)]
    assert len({row.key for row in made}) == 20


def test_a_reference_is_planned_for_an_ip_adapter_only() -> None:
    columns = {"photo_id": ["a"], "uri": ["a.jpg"], "reference_uri": ["https://u:p@host/style.png?sig=1"]}
    table = check_manifest(pa.table(columns), "m")
    adapted = Recipe.model_validate(load_recipe("demo").model_dump() | {"ip_adapter": {}})
    (row,) = plan.plan_rows(table, adapted, 1)
    assert row.reference_uri == columns["reference_uri"][0]
    assert plan.cut_units([row])["reference_uri"].to_pylist() == ["https://host/style.png"]
    (without,) = plan.plan_rows(table, load_recipe("demo"), 1)
    assert without.reference_uri is None
