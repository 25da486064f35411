"""What is left to do: units of the manifest without a record, and the credentials of their rows."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output import plan_store
from pipeline.output.provenance import write_record
from pipeline.plan import plan
from pipeline.plan.remaining import LEFT_ROWS, RemainingWork, remaining_work
from pipeline.recipes.load import load_recipe
from schemas.provenance import PROVENANCE
from schemas.work import UNITS
from tests.planning import manifest_of, plan_into, planning_of, rows_of


def record(output: Path, *units: str) -> None:
    """Write files that mark units as done."""
    (output / "provenance").mkdir(exist_ok=True)
    for unit in units:
        (output / "provenance" / f"{unit}.parquet").touch()


def unit_of(output: Path, photo_id: str) -> str:
    rows = rows_of(plan_store.read_plans(str(output))).to_pylist()
    return str([row["unit"] for row in rows if row["photo_id"] == photo_id][-1])


def test_all_units_of_a_new_plan_are_left(tmp_path: Path) -> None:
    with planning_of(manifest_of(["a", "b", "c"])) as planning:
        new = plan.plan_new_rows(planning, [], 2)
        work = remaining_work(planning, [], new, str(tmp_path))
        assert len(planning.database.rows(f"FROM {LEFT_ROWS}")) == 3
    assert work.units.schema == UNITS
    assert [(row["rows"], row["pending"], row["start"]) for row in work.units.to_pylist()] == [(2, 2, 0), (1, 1, 2)]
    assert (work.rows, work.done_rows, work.addresses) == (3, 0, None)


def test_units_with_a_record_are_done(tmp_path: Path) -> None:
    table = manifest_of(["a", "b", "c"])
    plan_into(tmp_path, table, size=1)
    record(tmp_path, unit_of(tmp_path, "b"))
    work = plan_into(tmp_path, table)
    assert (work.rows, work.done_rows) == (2, 1)
    assert unit_of(tmp_path, "b") not in work.units["unit"].to_pylist()
    record(tmp_path, *work.units["unit"].to_pylist())
    assert (plan_into(tmp_path, table).rows, plan_into(tmp_path, table).done_rows) == (0, 3)


def test_units_of_a_lost_plan_are_done(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"]), size=2)
    record(tmp_path, unit_of(tmp_path, "a"))
    shutil.rmtree(tmp_path / "_plan")
    work = plan_into(tmp_path, manifest_of(["a", "b"]), size=2)
    assert (work.rows, work.done_rows) == (0, 2)


def test_units_without_a_row_of_the_manifest_are_left_out(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"], etag=["1", "1"]), size=1)
    changed = plan_into(tmp_path, manifest_of(["a"], etag=["2"]), size=1)
    assert changed.units["unit"].to_pylist() == [unit_of(tmp_path, "a")]


def test_units_of_another_recipe_are_left_out(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a"]))
    with planning_of(manifest_of(["a"]), load_recipe("demo", ["strength=0.9"])) as planning:
        plans = plan_store.read_plans(str(tmp_path))
        new = plan.plan_new_rows(planning, plans)
        work = remaining_work(planning, plans, new, str(tmp_path))
    assert (work.rows, work.absent_rows) == (1, 0)
    assert unit_of(tmp_path, "a") not in work.units["unit"].to_pylist()


def test_units_to_retry_have_their_failed_rows_pending(tmp_path: Path) -> None:
    table = manifest_of(["a", "b", "c"])
    plan_into(tmp_path, table, size=3)
    write_record_of(tmp_path, unit_of(tmp_path, "a"), ["done", "failed", "done"])
    work = work_to_retry(tmp_path, table)
    (unit,) = work.units.to_pylist()
    assert (work.rows, work.done_rows, unit["rows"], unit["pending"], len(unit["keys"])) == (1, 0, 3, 1, 1)
    write_record_of(tmp_path, unit["unit"], ["failed"] * 3)
    (unit,) = work_to_retry(tmp_path, table).units.to_pylist()
    assert (unit["pending"], unit["keys"]) == (3, None)


def test_units_whose_failed_rows_were_replaced_are_not_retried(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"]), size=2)
    write_record_of(tmp_path, unit_of(tmp_path, "a"), ["done", "failed"])
    changed = manifest_of(["a", "b"], etag=[None, "2"])
    plan_into(tmp_path, changed)
    record(tmp_path, unit_of(tmp_path, "b"))
    write_record_of(tmp_path, unit_of(tmp_path, "b"), ["done"])
    assert work_to_retry(tmp_path, changed).rows == 0


def write_record_of(output: Path, unit: str, statuses: list[str]) -> None:
    """Write the record of a unit whose rows have these statuses. The failures may succeed in another run."""
    rows = [row for row in rows_of(plan_store.read_plans(str(output))).to_pylist() if row["unit"] == unit]
    failure = {"stage": "fetch", "error": "FetchError", "message": "x", "retryable": True}
    parts = [{"status": each, "failure": failure if each == "failed" else None} for each in statuses]
    records = [{name: row[name] for name in ("unit", "photo_id", "variant", "key")} for row in rows]
    table = [row | part for row, part in zip(records, parts, strict=True)]
    write_record(str(output), unit, pa.Table.from_pylist(table, PROVENANCE))


def work_to_retry(output: Path, table: pa.Table) -> RemainingWork:
    """Return the work of a run with `retry_failed`, for a manifest without new rows."""
    with planning_of(table) as planning:
        plans = plan_store.read_plans(str(output))
        assert plan.plan_new_rows(planning, plans) is None
        return remaining_work(planning, plans, None, str(output), retry_failed=True)


def test_rows_of_changed_photos_are_named_in_their_unfinished_unit(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"], etag=["1", "1"]), size=2)
    work = plan_into(tmp_path, manifest_of(["a", "b"], etag=["1", "2"]), size=2)
    first, second = work.units.to_pylist()
    keys = {row["photo_id"]: row["key"] for row in rows_of(plan_store.read_plans(str(tmp_path))[:1]).to_pylist()}
    assert (first["superseded"], second["superseded"]) == ([keys["b"]], None)
    assert (first["pending"], second["pending"], work.absent_rows) == (2, 1, 0)


def test_credentials_are_written_in_the_order_of_the_units(tmp_path: Path) -> None:
    ids = [f"p{number}" for number in range(6)]
    uris = [f"https://host/{name}?sig={name}" if name != "p3" else "/p3.jpg" for name in ids]
    table = manifest_of(ids, uri=uris, depth_uri=[None, "s3://k:v@b/d.png", None, None, None, None])
    with planning_of(table, variants=2) as planning:
        new = plan.plan_new_rows(planning, [], 4)
        assert new is not None
        work = remaining_work(planning, [], new, str(tmp_path))
        rows = rows_of([new.stored()]).to_pylist()
        assert work.addresses is not None
        found = pq.read_table(work.addresses).to_pylist()
    units = work.units["unit"].to_pylist()
    assert [units.index(row["unit"]) for row in found] == sorted(units.index(row["unit"]) for row in found)
    assert {row["key"]: row["uri"] for row in found} == {
        row["key"]: uris[ids.index(row["photo_id"])] for row in rows if row["photo_id"] != "p3"
    }
    assert [row["map_uris"] for row in found if row["map_uris"]] == [
        [{"detector": "depth", "uri": "s3://k:v@b/d.png"}]
    ] * 2


@pytest.mark.parametrize(("variants", "limit"), [(1, None), (2, 1)])
def test_rows_that_were_planned_earlier_have_their_credentials(
    tmp_path: Path, variants: int, limit: int | None
) -> None:
    table = manifest_of(["a", "b"], uri=["https://host/a?sig=1", "https://host/b?sig=2"])
    plan_into(tmp_path, table, variants=2, size=4)
    with planning_of(table, variants=variants, limit=limit) as planning:
        plans = plan_store.read_plans(str(tmp_path))
        assert plan.plan_new_rows(planning, plans) is None
        work = remaining_work(planning, plans, None, str(tmp_path))
        assert work.addresses is not None
        found = [row["uri"] for row in pq.read_table(work.addresses).to_pylist()]
    assert sorted(found) == ["https://host/a?sig=1"] * 2 + ["https://host/b?sig=2"] * 2


def test_addresses_that_have_no_credentials_any_more_are_restored_too(tmp_path: Path) -> None:
    plan_into(tmp_path, manifest_of(["a", "b"], uri=["https://host/a?sig=1", "/b.jpg"]), size=2)
    table = manifest_of(["a", "b"], uri=["https://host/a", "/b.jpg"])
    with planning_of(table) as planning:
        plans = plan_store.read_plans(str(tmp_path))
        assert plan.plan_new_rows(planning, plans) is None
        work = remaining_work(planning, plans, None, str(tmp_path))
        assert work.addresses is not None
        assert [row["uri"] for row in pq.read_table(work.addresses).to_pylist()] == ["https://host/a"]
