"""Recovered plans: rows of the manifest, rows of records, and which of several rows is current."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import DamagedOutputError
from pipeline.output import plan_store
from pipeline.output.provenance import done_units, record_uri, write_record
from pipeline.plan.manifest import open_manifest
from pipeline.plan.recovery import recover_plan
from pipeline.storage.database import open_database
from schemas.provenance import PROVENANCE
from tests.planning import RECIPE, manifest_of, plan_into, planned, rows_of

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def record(output: Path, unit: str, *rows: dict[str, Any]) -> None:
    """Write a record. Each row has the photo `a` and the key `k` unless it says otherwise."""
    common = {"unit": unit, "photo_id": "a", "variant": 0, "key": "k", "status": "done", "settings": "{}"}
    write_record(str(output), unit, pa.Table.from_pylist([common | row for row in rows], PROVENANCE))


def recover(output: Path, table: pa.Table, limit: int | None = None) -> list[dict[str, Any]]:
    """Recover the lost plans of an output. Returns the rows of the new plan in the order of its files."""
    with open_database() as database:
        path = str(database.folder / "m.parquet")
        storage.put_table(path, table)
        manifest, plans = open_manifest(path, database, limit), plan_store.read_plans(str(output))
        new = recover_plan(manifest, RECIPE, str(output), done_units(str(output)), plans, database)
        if new is None:
            return []
        plan_store.write_plan(str(output), new)
        rows: list[dict[str, Any]] = rows_of([new.stored()]).to_pylist()
    return rows


def superseded(output: Path) -> set[str]:
    plans = plan_store.read_plans(str(output))
    with open_database() as database:
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        return {key for (key,) in database.rows("SELECT key FROM superseded")}


def test_rows_of_the_manifest_are_complete(tmp_path: Path) -> None:
    box = {"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "person"}
    columns = {
        "uri": ["https://host/a?sig=1", "/b.jpg"],
        "boxes": [[box], None],
        "prompt": ["x", None],
        "title": [1, 2],
    }
    table = manifest_of(["a", "b"], **columns)
    rows = planned(table, variants=2, size=4).to_pylist()
    record(tmp_path, rows[0]["unit"], *(_recorded(row) for row in reversed(rows)))
    assert recover(tmp_path, table, limit=1) == list(reversed(rows))
    assert [row["redacted"] for row in rows] == [True, True, False, False]
    (stored,) = plan_store.read_plans(str(tmp_path))
    assert stored.units.to_pylist() == [
        {"unit": rows[0]["unit"], "part": "part-00000.parquet", "start": 0, "rows": 4, "recipe_digest": RECIPE.digest}
    ]
    assert recover(tmp_path, table) == []


def _recorded(row: dict[str, Any]) -> dict[str, Any]:
    names = ("unit", "photo_id", "variant", "key", "seed", "recipe_digest", "manifest")
    return {name: row[name] for name in names}


def test_other_rows_have_the_columns_of_their_record(tmp_path: Path) -> None:
    controls = [
        {"detector": "canny", "origin": "detected", "source_uri": None},
        {"detector": "depth", "origin": "manifest", "source_uri": "/d.png"},
    ]
    facts = {"seed": 7, "source_uri": "https://host/a", "reference_uri": "/r.png", "manifest": '{"title":1}'}
    prompts = {
        "prompt": "a cat",
        "negative_prompt": "bad",
        "settings": '{"prompt":"p","negative_prompt":"{negative_prompt}"}',
    }
    record(tmp_path, "u", {"recipe_digest": "d", "controls": controls, **facts, **prompts})
    (row,) = recover(tmp_path, manifest_of(["b"]))
    assert row == {
        "unit": "u", "photo_id": "a", "variant": 0, "key": "k", "seed": 7, "bucket": None, "recipe_digest": "d",
        "uri": "https://host/a", "map_uris": [{"detector": "depth", "uri": "/d.png"}], "mask_uri": None,
        "reference_uri": "/r.png", "redacted": True, "pose_keypoints": None, "boxes": None, "keypoints": None,
        "prompt": "a cat", "negative_prompt": None, "manifest": '{"title":1}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("times", "codes", "current"),
    [
        ((1, 2), (None, None), "k1"),
        ((2, 1), (None, None), "k0"),
        ((1, 2), (None, "fetch.superseded"), "k0"),
        ((1, 2), (None, "fetch.failed"), "k1"),
        ((1, None), (None, None), "k0"),
        ((1, 1), (None, None), "k1"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_row_that_was_converted_last_is_current(
    tmp_path: Path,
    times: tuple[int | None, ...],
    codes: tuple[str | None, ...],
    current: str,
    together: bool,  # noqa: FBT001
) -> None:
    rows = [
        {
            "key": f"k{number}",
            "started": None if hours is None else EPOCH + timedelta(hours=hours),
            "failure": {"code": code} if code else None,
            "status": "failed" if code else "done",
        }
        for number, (hours, code) in enumerate(zip(times, codes, strict=True))
    ]
    if together:
        record(tmp_path, "u", *rows)
    else:
        record(tmp_path, "u", rows[0])
        record(tmp_path, "v", rows[1])
    record(tmp_path, "w", {"photo_id": "other", "key": "o"})
    found = recover(tmp_path, manifest_of(["b"]))
    assert sorted(row["key"] for row in found) == sorted(["k0", "k1", "o", current])
    assert superseded(tmp_path) == {"k0", "k1"} - {current}


def test_a_row_of_several_records_is_planned_once(tmp_path: Path) -> None:
    late = EPOCH + timedelta(hours=1)
    record(tmp_path, "u", {"key": "k0", "status": "failed", "started": late}, {"key": "k1", "photo_id": "b"})
    record(tmp_path, "v", {"key": "k0", "started": EPOCH}, {"key": "k0", "started": EPOCH})
    record(tmp_path, "w", {"key": "k0", "started": late})
    assert [(row["unit"], row["key"]) for row in recover(tmp_path, manifest_of(["c"]))] == [("u", "k1"), ("w", "k0")]


def test_planned_rows_and_rows_of_other_units_are_left_out(tmp_path: Path) -> None:
    table = manifest_of(["a", "b"])
    plan_into(tmp_path, table, size=2)
    key = rows_of(plan_store.read_plans(str(tmp_path)))["key"].to_pylist()[0]
    record(tmp_path, "u", {"key": key}, {"key": "x", "unit": "other"}, {"key": ""}, {"key": "y", "photo_id": None})
    assert recover(tmp_path, table) == []
    assert len(plan_store.read_plans(str(tmp_path))) == 1


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    record(tmp_path, "u", {"key": "k"})
    storage.put(record_uri(str(tmp_path), "v"), b"text")
    with pytest.raises(DamagedOutputError, match="provenance/v.parquet"):
        recover(tmp_path, manifest_of(["a"]))


def test_an_output_in_a_bucket_is_recovered(bucket: str) -> None:
    output = f"{bucket}/recovered"
    row = {"unit": "u", "photo_id": "a", "variant": 0, "key": "k", "status": "done", "settings": "{}"}
    write_record(output, "u", pa.Table.from_pylist([row], PROVENANCE))
    with open_database() as database:
        path = str(database.folder / "m.parquet")
        storage.put_table(path, manifest_of(["a"]))
        new = recover_plan(open_manifest(path, database), RECIPE, output, done_units(output), [], database)
        assert new is not None
        plan_store.write_plan(output, new)
    assert [plan.units["unit"].to_pylist() for plan in plan_store.read_plans(output)] == [["u"]]
