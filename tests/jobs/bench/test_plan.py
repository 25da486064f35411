"""photo2anime bench plan: it plans a synthetic manifest twice, the second time with little left to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import plan
from jobs.bench.measurement import Part
from pipeline import storage
from pipeline.output.plan_store import read_plans


def test_the_command_prints_one_line_for_each_part() -> None:
    done = CliRunner().invoke(app, ["bench", "plan", "--rows", "50"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    lines = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.count("│") == 8]
    assert [cells[1].strip() for cells in lines] == ["50", "50", "50"]


def test_all_rows_are_planned_and_few_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LEFT_ROWS", 30)
    parts = plan.measure_planning(tmp_path, 400, 2, "500MB")
    assert [part.rows for part in parts] == [800, 800, 800]
    (stored,) = read_plans(str(tmp_path / "out"))
    rows, done = sum(stored.units["rows"].to_pylist()), len(storage.names(str(tmp_path / "out" / "provenance")))
    assert rows == 800
    assert done == stored.units.num_rows - 1  # the last unit has 32 rows


def test_the_manifest_has_the_columns_of_photos(tmp_path: Path) -> None:
    plan.write_manifest(tmp_path / "m.parquet", 3)
    table = storage.read_table(str(tmp_path / "m.parquet"))
    assert table.column_names == ["photo_id", "uri", "width", "height", "etag", "caption"]
    assert len(set(table["photo_id"].to_pylist())) == 3


@pytest.mark.parametrize(
    ("cpu_seconds", "bound"), [(19.0, "CPU"), (9.5, "CPU of one thread"), (2.0, "waiting (0.2 cores busy)")]
)
def test_the_bound_follows_from_the_busy_cores(cpu_seconds: float, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.bench.measurement.core_count", lambda: 2)
    assert Part("x", 1, 10.0, cpu_seconds, 1).bound == bound
