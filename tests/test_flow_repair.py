"""Rows that are recorded or planned twice: repair and another run leave each row once, in its unit."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.output import plan_store
from pipeline.output.provenance import done_units, read_record, write_record
from pipeline.output.repair import repair
from pipeline.output.verify import verify
from pipeline.storage.database import open_database
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import recipe_of
from tests.local_run import convert_locally
from tests.records import read_records
from tests.test_flow import files_of

pytestmark = pytest.mark.slow
RECIPE = recipe_of(CannySettings(), mode="maps")


@pytest.fixture
def manifest(photos: Path, tmp_path: Path) -> str:
    """Write a manifest of six photos."""
    path = str(tmp_path / "m.parquet")
    names = [f"p{number:03d}.jpg" for number in range(6)]
    storage.put_table(path, pa.table({"photo_id": names, "uri": [str(photos / name) for name in names]}))
    return path


@pytest.fixture
def output(manifest: str, tmp_path: Path) -> str:
    """Convert six photos in units of two rows."""
    output = str(tmp_path / "out")
    convert_locally(manifest, output, RECIPE, Options(unit_size=2))
    return output


def units_of(output: str) -> list[str]:
    return [unit for plan in plan_store.read_plans(output) for unit in plan.units["unit"].to_pylist()]


def replaced(rows: pa.Table, name: str, values: list[str]) -> pa.Table:
    number = rows.schema.get_field_index(name)
    return rows.set_column(number, rows.schema.field(number), pa.array(values, pa.string()))


def copied(output: str, unit: str, to: str, *, with_files: bool = True) -> pa.Table:
    """Return the first row of a unit as a row of another unit, and copy its control map."""
    row = read_record(output, unit).slice(0, 1)
    if not with_files:
        return replaced(row, "unit", [to])
    name = row["controls"][0].as_py()[0]["uri"]
    moved = name.replace(f"/{unit}/", f"/{to}/")
    (Path(output) / moved).parent.mkdir(exist_ok=True)
    shutil.copy(Path(output) / name, Path(output) / moved)
    controls = [[{**row["controls"][0].as_py()[0], "uri": moved}]]
    number = row.schema.get_field_index("controls")
    row = row.set_column(number, row.schema.field(number), pa.array(controls, row.schema.field(number).type))
    return replaced(row, "unit", [to])


def twice_in_one_record(output: str) -> None:
    unit, *_ = units_of(output)
    rows = read_record(output, unit)
    failed = replaced(rows.slice(0, 1), "status", ["failed"])
    write_record(output, unit, pa.concat_tables([failed, rows, rows]))


def in_another_planned_unit(output: str) -> None:
    first, second, _ = units_of(output)
    write_record(output, second, pa.concat_tables([copied(output, first, second), read_record(output, second)]))


def in_another_planned_unit_with_the_same_file(output: str) -> None:
    first, second, _ = units_of(output)
    row = copied(output, first, second, with_files=False)
    write_record(output, second, pa.concat_tables([read_record(output, second), row]))


def in_another_planned_unit_only(output: str) -> None:
    in_another_planned_unit(output)
    first, *_ = units_of(output)
    write_record(output, first, read_record(output, first).slice(1))


def in_another_planned_unit_while_its_own_is_not_done(output: str) -> None:
    in_another_planned_unit(output)
    first, *_ = units_of(output)
    (Path(output) / "provenance" / f"{first}.parquet").unlink()


def in_a_unit_without_a_plan(output: str) -> None:
    first, *_ = units_of(output)
    write_record(output, "0" * 16, copied(output, first, "0" * 16))


def not_planned(output: str) -> None:
    first, *_ = units_of(output)
    row = replaced(copied(output, first, first, with_files=False), "key", ["x" * 32])
    write_record(output, first, pa.concat_tables([row, read_record(output, first)]))


@pytest.mark.parametrize(
    ("damage", "kinds", "converted"),
    [
        (twice_in_one_record, {"duplicate"}, 0),
        (in_another_planned_unit, {"duplicate", "orphaned"}, 0),
        (in_another_planned_unit_with_the_same_file, {"duplicate"}, 0),
        (in_another_planned_unit_only, {"duplicate", "orphaned", "missing"}, 2),
        (in_another_planned_unit_while_its_own_is_not_done, {"duplicate", "orphaned", "missing"}, 2),
        (in_a_unit_without_a_plan, {"duplicate", "orphaned"}, 0),
        (not_planned, {"orphaned"}, 0),
    ],
)
def test_a_row_that_is_recorded_twice_is_dropped(
    output: str, manifest: str, damage: Callable[[str], None], kinds: set[str], converted: int
) -> None:
    maps = {name: state for name, state in files_of(output).items() if "/maps/" in name}
    damage(output)
    findings = verify(output)
    assert {kind for kind in ("missing", "duplicate", "orphaned", "altered") if getattr(findings, kind)} == kinds
    repair(output, findings)
    assert convert_locally(manifest, output, RECIPE).converted == converted
    check_rows_are_recorded_once(output, 6)
    after = files_of(output)
    assert len([name for name in maps if after.get(name) == maps[name]]) == 6 - converted


def check_rows_are_recorded_once(output: str, rows: int) -> None:
    findings = verify(output)
    assert findings.valid, [*findings.duplicate.first(9), *findings.orphaned.first(9), *findings.missing.first(9)]
    assert set(Counter(row["key"] for row in read_records(output)).values()) == {1}
    with open_database() as database:
        plan_store.open_plans(plan_store.read_plans(output), database)
        planned = set(database.rows("SELECT DISTINCT key, unit FROM plan"))
    assert {(row["key"], row["unit"]) for row in read_records(output)} == planned
    assert len(planned) == rows


@pytest.mark.parametrize("size", [1, 3, 6])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_row_that_two_plans_contain_stays_in_the_unit_of_the_first_plan(
    output: str,
    manifest: str,
    tmp_path: Path,
    size: int,
    recorded: bool,  # noqa: FBT001
) -> None:
    other = tmp_path / "other"
    convert_locally(manifest, str(other), RECIPE, Options(unit_size=size))
    add_plan(other, Path(output), recorded=recorded)
    first = plan_store.read_plans(output)[0]
    findings = verify(output)
    assert findings.doubled_plans
    repair(output, findings)
    assert convert_locally(manifest, output, RECIPE).converted == 0
    check_rows_are_recorded_once(output, 6)
    assert plan_store.read_plans(output)[0] == first
    assert done_units(output) == set(units_of(output))


def add_plan(source: Path, target: Path, *, recorded: bool) -> None:
    """Copy the plan of an output to another one, as its second plan, and its records and maps if `recorded`."""
    (plan,) = plan_store.read_plans(str(source))
    new = plan_store.NewPlan(2, Path(plan.uri), plan.units)
    plan_store.write_plan(str(target), new)
    for folder in ("provenance", "maps") if recorded else ():
        shutil.copytree(source / folder, target / folder, dirs_exist_ok=True)


def test_a_changed_row_of_a_doubled_plan_gets_the_unit_of_the_first_plan(
    output: str, manifest: str, photos: Path, tmp_path: Path
) -> None:
    other, path = tmp_path / "other", Path(manifest)
    convert_locally(manifest, str(other), RECIPE, Options(unit_size=6))
    add_plan(other, Path(output), recorded=True)
    original = path.read_bytes()
    table = storage.read_table(manifest).to_pylist()
    table[0]["uri"] = str(photos / "p007.jpg")
    storage.put_table(manifest, pa.Table.from_pylist(table))
    assert convert_locally(manifest, output, RECIPE).converted == 1
    path.write_bytes(original)  # the first photo is current again, in a third plan
    convert_locally(manifest, output, RECIPE)
    repair(output, verify(output))
    assert convert_locally(manifest, output, RECIPE).converted == 0
    check_rows_are_recorded_once(output, 7)
