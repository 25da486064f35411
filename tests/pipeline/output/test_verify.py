"""Verifying: every kind of damage is found, named and mended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import OutputError
from pipeline.output import plan_store, provenance, run_file
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import Findings, repair, verify
from pipeline.plan import plan
from pipeline.steps.commit import Commit
from schemas.recipe import Recipe
from schemas.work import ENCODED, Row


@pytest.fixture
def output(tmp_path: Path, decoded: Row, recipe: Recipe) -> Path:
    """Return an output of two units of two rows each, one of them a failure."""
    facts = RunMetadata("run-1", recipe, "0.1.0", None)
    rows = [decoded | {"photo_id": f"p{number}", "key": f"{number}" * 64} for number in range(4)]
    planned = plan.cut_units([{**row, "uri": None} for row in rows], 2)
    run_file.write_run_file(str(tmp_path), facts, {"status": "finished"})
    plan_store.write_plan(str(tmp_path), planned)
    units = dict(zip(planned["key"].to_pylist(), planned["unit"].to_pylist(), strict=True))
    maps = [
        {"detector": name, "origin": "blank", "pixels": bytes(64 * 64 * 3)} for name in ("canny", "openpose", "depth")
    ]
    failure = {"stage": "decode", "error": "ImageError", "message": "x", "retryable": False}
    done = [row | {"unit": units[row["key"]], "maps": maps, "picture_bytes": row["key"].encode()} for row in rows[:3]]
    failed = rows[3] | {"unit": units[rows[3]["key"]], "failure": failure}
    Commit(str(tmp_path), facts, keep_maps=True)(pa.Table.from_pylist([*done, failed], ENCODED))
    return tmp_path


def test_a_sound_output_is_sound(output: Path) -> None:
    findings = verify(str(output))
    assert findings.sound
    assert (findings.rows, findings.pictures) == (4, 3 + 9)


def first(output: Path, pattern: str) -> Path:
    return min(output.glob(pattern))


def lose_a_picture(output: Path) -> None:
    first(output, "images/*/*.png").unlink()


def lose_a_map(output: Path) -> None:
    first(output, "maps/*/*.png").unlink()


def alter_a_picture(output: Path) -> None:
    first(output, "images/*/*.png").write_bytes(b"altered")


def break_a_record(output: Path) -> None:
    first(output, "provenance/*.parquet").write_bytes(b"text")


def lose_a_record(output: Path) -> None:
    first(output, "provenance/*.parquet").unlink()


def add_a_stray_picture(output: Path) -> None:
    (output / "images" / "stray.png").write_bytes(b"stray")


def add_a_record_without_a_plan(output: Path) -> None:
    (output / "provenance" / "0000.parquet").write_bytes(first(output, "provenance/*.parquet").read_bytes())


def double_a_row(output: Path) -> None:
    path = first(output, "provenance/*.parquet")
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)


def lose_a_row(output: Path) -> None:
    path = first(output, "provenance/*.parquet")
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("damage", "kinds", "reopened"),
    [
        (lose_a_picture, {"missing"}, 1),
        (lose_a_map, {"missing"}, 1),
        (alter_a_picture, {"altered"}, 1),
        (break_a_record, {"altered", "orphaned"}, 1),
        (lose_a_record, {"missing", "orphaned"}, 0),
        (add_a_stray_picture, {"orphaned"}, 0),
        (double_a_row, {"doubled"}, 1),
        (lose_a_row, {"missing", "orphaned"}, 1),
    ],
)
def test_damage_is_found_and_repair_leaves_only_work_to_do(
    output: Path, damage: Callable[[Path], None], kinds: set[str], reopened: int
) -> None:
    damage(output)
    findings = verify(str(output))
    assert {kind for kind in ("missing", "doubled", "orphaned", "altered") if getattr(findings, kind)} == kinds
    assert len(findings.damaged_units) == reopened
    repair(str(output), findings)
    left = verify(str(output))
    assert not left.doubled
    assert not left.altered
    undone = plan_store.read_plans(str(output)).num_rows - len(recorded(output))
    assert len(left.missing) == undone  # only rows whose units the next run does
    repair(str(output), left)  # the pictures of a reopened unit are orphans until then
    assert not verify(str(output)).orphaned


def recorded(output: Path) -> list[dict[str, Any]]:
    return provenance.read_records(str(output), provenance.done_units(str(output))).to_pylist()


def test_a_row_that_was_planned_anew_is_not_missed(output: Path) -> None:
    lose_a_record(output)
    old = plan_store.read_plans(str(output)).to_pylist()
    plan_store.write_plan(str(output), plan.cut_units([row | {"key": row["key"][::-1] + "x"} for row in old], 2))
    missing = verify(str(output)).missing
    assert len([line for line in missing if "no row of provenance" in line]) == 4


def test_a_lost_plan_costs_no_picture(output: Path) -> None:
    (plan_file,) = (output / "_plan").iterdir()
    plan_file.unlink()
    before = sorted(path for path in output.rglob("*") if path.is_file())
    findings = verify(str(output))
    assert len(findings.orphaned) == 2
    repair(str(output), findings)
    assert sorted(path for path in output.rglob("*") if path.is_file()) == before


def test_a_record_of_another_output_is_said_and_left(output: Path) -> None:
    add_a_record_without_a_plan(output)
    findings = verify(str(output))
    assert "no plan has this unit" in findings.orphaned[0]
    repair(str(output), findings)
    assert (output / "provenance" / "0000.parquet").exists()


def test_a_folder_that_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is no output of this program"):
        verify(str(tmp_path))


def test_findings_without_a_line_are_sound() -> None:
    assert Findings().sound
    assert not Findings(altered=["x"]).sound
