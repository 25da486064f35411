"""The first step loads the rows of a unit, and fetches their photos in batches."""

from pathlib import Path

import pytest

from pipeline.steps import load
from pipeline.steps.chain import ChainSettings, fetch_step
from pipeline.steps.load import LoadUnit
from pipeline.steps.row_step import table_to_rows
from pipeline.storage.limits import Access, ReadLimits
from schemas.arrow import to_rows
from schemas.work import Failed, Fetched, Unit
from tests.planning import RECIPE, manifest_of, plan_into

SETTINGS = ChainSettings(RECIPE, Access(frozenset({"file"})))


def test_a_large_unit_becomes_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BATCH_ROWS", 2)
    ids = ["a", "b", "c", "d", "e"]
    for name in ids[:4]:
        (tmp_path / name).write_bytes(name.encode())
    table = manifest_of(ids, uri=[str(tmp_path / name) for name in ids])
    (unit,) = to_rows(plan_into(tmp_path / "out", table, size=5).units, Unit)
    step = LoadUnit(str(tmp_path / "out"), SETTINGS.renderer, fetch_step(SETTINGS.access), None)
    batches = [table_to_rows(batch, Fetched) for batch in step.batches(unit)]
    assert [len(rows) for rows in batches] == [2, 2, 1]
    rows = [row for batch in batches for row in batch]
    assert [row.photo for row in rows if isinstance(row, Fetched)] == [name.encode() for name in ids[:4]]
    assert isinstance(rows[4], Failed)
    assert all((row.timing.seconds.fetch or 0) > 0 for row in rows)


def test_large_files_are_read_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LARGE_BATCH_BYTES", 40)
    sizes = {"a": 5, "b": 20, "c": 20, "d": 5, "e": 20, "f": 50}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    table = manifest_of([*sizes], uri=[str(tmp_path / name) for name in sizes])
    (unit,) = to_rows(plan_into(tmp_path / "out", table, size=6).units, Unit)
    small, large = (fetch_step(Access(frozenset({"file"}), ReadLimits(max_bytes=most))) for most in (10, 30))
    step = LoadUnit(str(tmp_path / "out"), SETTINGS.renderer, small, large)
    batches = [table_to_rows(batch, Fetched) for batch in step.batches(unit)]
    found = [sorted((row.planned.photo_id, isinstance(row, Failed)) for row in rows) for rows in batches]
    assert sorted(map(len, found)) == [2, 2, 2]
    assert found[0] == [("a", False), ("d", False)]
    assert [entry for rows in found for entry in rows if entry[1]] == [("f", True)]


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (unit,) = to_rows(plan_into(tmp_path, manifest_of(["a"])).units, Unit)
    partial = tmp_path / "images" / unit.unit / ".a.png.0123.part"
    partial.parent.mkdir(parents=True)
    partial.touch()
    list(LoadUnit(str(tmp_path), SETTINGS.renderer, fetch_step(SETTINGS.access), None).batches(unit))
    assert not partial.exists()
