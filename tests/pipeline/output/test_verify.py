"""Verification finds every kind of damage, and repair prepares the output for the next run."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import NotAnOutputError, StorageAccessError
from pipeline.output import run_file
from pipeline.output.findings import Findings
from pipeline.output.provenance import read_record, write_record
from pipeline.output.repair import DELETED, repair
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import verify
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_plan, write_records
from tests.records import read_records
from tests.rows import blank_map, edit, encoded_row, failed_row_of


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> Path:
    """Write an output with two units of two rows each. One row failed."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    rows = [
        encoded_row(decoded, str(number).encode(), *maps, planned={"photo_id": f"p{number}", "key": f"{number}" * 64})
        for number in range(4)
    ]
    run_file.write_run_file(str(tmp_path), run, {"status": "finished"})
    write_records(tmp_path, run, [*rows[:3], failed_row_of(rows[3].planned)], 2)
    return tmp_path


def test_an_unchanged_output_is_sound(output: Path) -> None:
    findings = verify(str(output))
    assert findings.valid
    assert (findings.rows, findings.files) == (4, 3 + 9)


def first(output: Path, pattern: str) -> Path:
    return min(output.glob(pattern))


def delete_an_image(output: Path) -> None:
    first(output, "images/*/*.png").unlink()


def delete_a_map(output: Path) -> None:
    first(output, "maps/*/*.png").unlink()


def alter_an_image(output: Path) -> None:
    first(output, "images/*/*.png").write_bytes(b"altered")


def damage_a_record(output: Path) -> None:
    first(output, "provenance/*.parquet").write_bytes(b"text")


def delete_a_record(output: Path) -> None:
    first(output, "provenance/*.parquet").unlink()


def add_an_image(output: Path) -> None:
    (output / "images" / "stray.png").write_bytes(b"stray")


def add_an_unplanned_record(output: Path) -> None:
    (output / "provenance" / "0000.parquet").write_bytes(first(output, "provenance/*.parquet").read_bytes())


def change_a_record(output: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of a record, and write it with a seal."""
    unit = first(output, "provenance/*.parquet").stem
    write_record(str(output), unit, change(read_record(str(output), unit)))


def write_an_unsealed_record(output: Path) -> None:
    path = first(output, "provenance/*.parquet")
    pq.write_table(pq.read_table(path), path)


def write_a_sealed_file_of_other_columns(output: Path) -> None:
    first(output, "provenance/*.parquet").write_bytes(storage.sealed_content(pa.table({"x": [1]})))


def duplicate_a_row(output: Path) -> None:
    change_a_record(output, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))


def delete_a_row(output: Path) -> None:
    change_a_record(output, lambda rows: rows.slice(1))


def delete_all_rows(output: Path) -> None:
    change_a_record(output, lambda rows: rows.slice(0, 0))


def replace_a_record(output: Path) -> None:
    one, other = sorted(output.glob("provenance/*.parquet"))
    one.write_bytes(other.read_bytes())


def replace_an_image_by_a_broken_link(output: Path) -> None:
    path = first(output, "images/*/*.png")
    path.unlink()
    path.symlink_to("/none")


def replace_a_record_by_a_broken_link(output: Path) -> None:
    path = first(output, "provenance/*.parquet")
    path.unlink()
    path.symlink_to("/none")


def remove_a_key(output: Path) -> None:
    change_a_record(output, lambda rows: with_keys(rows, [None, *rows["key"].to_pylist()[1:]]))


def with_keys(rows: pa.Table, keys: list[str | None]) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("key"), "key", pa.array(keys, pa.string()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "kinds", "damaged_units"),
    [
        (delete_an_image, {"missing"}, 1),
        (delete_a_map, {"missing"}, 1),
        (alter_an_image, {"altered"}, 1),
        (damage_a_record, {"altered", "orphaned"}, 1),
        (delete_a_record, {"missing", "orphaned"}, 0),
        (add_an_image, {"orphaned"}, 0),
        (duplicate_a_row, {"duplicate"}, 0),
        (delete_a_row, {"missing", "orphaned"}, 1),
        (delete_all_rows, {"missing", "orphaned"}, 1),
        (replace_a_record, {"altered", "orphaned"}, 1),
        (replace_an_image_by_a_broken_link, {"altered"}, 1),
        (replace_a_record_by_a_broken_link, {"altered", "orphaned"}, 1),
        (remove_a_key, {"altered", "orphaned"}, 1),
        (write_an_unsealed_record, {"altered", "orphaned"}, 1),
        (write_a_sealed_file_of_other_columns, {"altered", "orphaned"}, 1),
    ],
)
def test_repair_leaves_an_output_that_the_next_run_completes(
    output: Path, damage: Callable[[Path], None], kinds: set[str], damaged_units: int
) -> None:
    damage(output)
    findings = verify(str(output))
    assert {kind for kind in ("missing", "duplicate", "orphaned", "altered") if getattr(findings, kind)} == kinds
    assert len(findings.damaged_units) == damaged_units
    repair(str(output), findings)
    remaining = verify(str(output))
    assert not remaining.duplicate
    assert not remaining.altered
    undone = remaining.rows - len(read_records(output))
    assert len(remaining.missing) == undone  # only rows of units that the next run converts
    repair(str(output), remaining)  # deletes the images of the records that the first repair deleted
    assert not verify(str(output)).orphaned


def test_a_superseded_row_is_not_missing(output: Path, decoded: Decoded) -> None:
    delete_a_record(output)
    rows = [edit(decoded.planned, photo_id=f"p{number}", key=f"{number}" * 63 + "x") for number in range(4)]
    write_plan(output, rows, 2)
    missing = verify(str(output)).missing.first(99)
    assert len([line for line in missing if line.startswith("p")]) == 4


def test_a_row_that_is_planned_in_two_units_is_a_duplicate(output: Path, decoded: Decoded) -> None:
    write_plan(output, [edit(decoded.planned, photo_id="p0", key="0" * 64)], 2)
    findings = verify(str(output))
    assert (len(findings.duplicate), len(findings.missing), findings.rows) == (1, 0, 5)


def test_repair_keeps_all_files_if_a_plan_is_lost(output: Path) -> None:
    shutil.rmtree(output / "_plan")
    before = sorted(path for path in output.rglob("*") if path.is_file())
    findings = verify(str(output))
    assert len(findings.orphaned) == 2
    repair(str(output), findings)
    assert sorted(path for path in output.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("damage", [delete_an_image, alter_an_image, damage_a_record, delete_a_row, replace_a_record])
def test_repair_keeps_damaged_units_of_a_lost_plan(output: Path, damage: Callable[[Path], None]) -> None:
    shutil.rmtree(output / "_plan")
    damage(output)
    before = sorted(path for path in output.rglob("*") if path.is_file())
    findings = verify(str(output))
    assert not findings.valid
    repair(str(output), findings)
    assert sorted(path for path in output.rglob("*") if path.is_file()) == before


def test_repair_keeps_an_unplanned_record(output: Path) -> None:
    add_an_unplanned_record(output)
    findings = verify(str(output))
    assert findings.orphaned.first(1)[0].startswith("provenance/0000.parquet: ")
    repair(str(output), findings)
    assert len(list((output / "provenance").iterdir())) == 3


def test_repair_deletes_files_at_once_and_records_after_all_files(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(DELETED + 1):
        (output / "images" / f"stray{number}.png").touch()
    damage_a_record(output)
    findings = verify(str(output))
    together, calls, removed, remove = Barrier(2), count(), list[str](), storage.remove

    def remove_together(uri: str) -> None:
        if next(calls) < 2:
            together.wait(60)  # each of the first two deletions waits for the other one
        remove(uri)
        removed.append(uri)

    monkeypatch.setattr(storage, "remove", remove_together)
    repair(str(output), findings)
    assert len(removed) == len(findings.orphaned_files) + 1
    assert removed[-1].endswith(".parquet")
    assert not list(output.glob("images/stray*.png"))


def test_repair_keeps_records_if_a_file_cannot_be_deleted(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_an_image(output)
    damage_a_record(output)
    findings = verify(str(output))
    before = sorted(output.glob("provenance/*"))

    def fail(uri: str) -> None:
        raise StorageAccessError(uri)

    monkeypatch.setattr(storage, "remove", fail)
    with pytest.raises(StorageAccessError):
        repair(str(output), findings)
    assert sorted(output.glob("provenance/*")) == before


def test_repair_deletes_only_the_named_file(output: Path) -> None:
    image = first(output, "images/*/*.png")
    stray = image.with_name(f"{image.name}::x")
    stray.write_bytes(b"stray")
    repair(str(output), verify(str(output)))
    assert image.exists()
    assert not stray.exists()


def test_a_folder_that_is_not_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAnOutputError):
        verify(str(tmp_path))


def test_an_output_without_findings_is_sound() -> None:
    assert Findings().valid
    assert not Findings(altered=["x"]).valid
