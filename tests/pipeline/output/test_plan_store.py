"""Stored plans: complete or ignored, one of each number, and refused if a file is missing."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import DamagedOutputError, PlanConflictError
from pipeline.output import plan_store
from pipeline.output.plan_store import NewPlan
from pipeline.plan import plan
from tests.planning import manifest_of, plan_into, planning_of

PHOTOS = manifest_of(["a", "b", "c", "d"])


def write(output: str, table: pa.Table, size: int) -> str:
    """Write the plan of a run that found no plan in the output."""
    with planning_of(table) as planning:
        new = plan.plan_new_rows(planning, [], size)
        assert new is not None
        return plan_store.write_plan(output, new)


@pytest.mark.parametrize("remote", [False, True])
def test_of_two_plans_with_other_units_one_is_written(tmp_path: Path, bucket: str, remote: bool) -> None:  # noqa: FBT001
    output = f"{bucket}/plans" if remote else str(tmp_path)
    first = write(output, PHOTOS, 2)
    assert write(output, PHOTOS, 2) == first  # the same plan
    with pytest.raises(PlanConflictError):
        write(output, PHOTOS, 4)
    with pytest.raises(PlanConflictError):
        write(output, manifest_of(["other"]), 2)
    (stored,) = plan_store.read_plans(output)
    assert (stored.number, stored.uri, stored.units.num_rows) == (1, first, 2)


def test_a_plan_that_was_not_written_takes_no_files_from_the_next_plan(tmp_path: Path) -> None:
    with planning_of(PHOTOS) as planning:
        lost = plan.plan_new_rows(planning, [], 2)
        assert lost is not None
        write(str(tmp_path), manifest_of(["other"]), 2)
        plan_into(tmp_path, PHOTOS, size=2)  # another run plans the same rows under the next number
        with pytest.raises(PlanConflictError):
            plan_store.write_plan(str(tmp_path), lost)
    assert [each.units.num_rows for each in plan_store.read_plans(str(tmp_path))] == [1, 2]


def test_files_without_an_index_are_ignored(tmp_path: Path) -> None:
    with planning_of(PHOTOS) as planning:
        new = plan.plan_new_rows(planning, [], 2)
        assert new is not None
        plan_store.write_plan(str(tmp_path / "other"), new)
    (folder,) = (path for path in (tmp_path / "other" / "_plan").iterdir() if path.is_dir())
    target = tmp_path / "out" / "_plan" / folder.name
    target.parent.mkdir(parents=True)
    folder.rename(target)  # as if the process was killed before it wrote the index
    assert plan_store.read_plans(str(tmp_path / "out")) == []
    assert plan_into(tmp_path / "out", PHOTOS, size=2).rows == 4


def test_plans_are_numbered_after_the_last_one(tmp_path: Path) -> None:
    for number in range(1, 4):
        plan_into(tmp_path, manifest_of([str(each) for each in range(number)]), size=1)
    (tmp_path / "_plan" / "00001.parquet").unlink()
    plan_into(tmp_path, manifest_of(["0", "1", "2", "3"]), size=1)
    assert [each.number for each in plan_store.read_plans(str(tmp_path))] == [2, 3, 4]


def test_a_missing_file_or_a_damaged_index_is_refused(tmp_path: Path) -> None:
    uri = write(str(tmp_path), PHOTOS, 2)
    index, content = tmp_path / "_plan" / "00001.parquet", (tmp_path / "_plan" / "00001.parquet").read_bytes()
    storage.put_table(str(index), NewPlan(1, tmp_path, plan_store.read_plans(str(tmp_path))[0].units).units)
    with pytest.raises(DamagedOutputError):
        plan_store.read_plans(str(tmp_path))  # the index names no folder
    index.write_bytes(content)
    Path(uri, "part-00000.parquet").unlink()
    with pytest.raises(DamagedOutputError):
        plan_store.read_plans(str(tmp_path))
