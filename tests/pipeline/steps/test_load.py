"""The first step loads the rows of a unit, and fetches their photos in batches."""

from pathlib import Path

import pytest

from pipeline.steps import load
from pipeline.steps.chain import ChainSettings, fetch_step
from pipeline.steps.load import LoadUnit
from pipeline.steps.row_step import table_to_rows
from schemas.arrow import to_rows
from schemas.work import Failed, Fetched, Unit
from tests.planning import RECIPE, manifest_of, plan_into

SETTINGS = ChainSettings(RECIPE, frozenset({"file"}))


def test_a_large_unit_becomes_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BATCH_ROWS", 2)
    ids = ["a", "b", "c", "d", "e"]
    for name in ids[:4]:
        (tmp_path / name).write_bytes(name.encode())
    table = manifest_of(ids, uri=[str(tmp_path / name) for name in ids])
    (unit,) = to_rows(plan_into(tmp_path / "out", table, size=5).units, Unit)
    step = LoadUnit(str(tmp_path / "out"), SETTINGS.renderer, fetch_step(SETTINGS))
    batches = [table_to_rows(batch, Fetched) for batch in step.batches(unit)]
    assert [len(rows) for rows in batches] == [2, 2, 1]
    rows = [row for batch in batches for row in batch]
    assert [row.photo for row in rows if isinstance(row, Fetched)] == [name.encode() for name in ids[:4]]
    assert isinstance(rows[4], Failed)
    assert all((row.timing.seconds.fetch or 0) > 0 for row in rows)


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (unit,) = to_rows(plan_into(tmp_path, manifest_of(["a"])).units, Unit)
    partial = tmp_path / "images" / unit.unit / ".a.png.0123.part"
    partial.parent.mkdir(parents=True)
    partial.touch()
    list(LoadUnit(str(tmp_path), SETTINGS.renderer, fetch_step(SETTINGS)).batches(unit))
    assert not partial.exists()
