"""Blocks of units: small ones for a small run, and with the credentials of their rows."""

from pathlib import Path

import pytest

from pipeline.execution import unit_blocks as module
from pipeline.execution.unit_blocks import unit_blocks
from pipeline.plan import plan
from pipeline.plan.remaining import remaining_work
from schemas.arrow import to_rows
from schemas.work import UNITS, Unit
from tests.planning import manifest_of, plan_into, planning_of


def test_a_block_has_one_unit_in_a_small_run_and_several_in_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = plan_into(tmp_path, manifest_of([f"p{number}" for number in range(37)]), size=1)
    assert [block.num_rows for block in unit_blocks(work, 32)] == [1] * 37
    assert [block.num_rows for block in unit_blocks(work, 1)] == [4] * 9 + [1]
    assert [block.num_rows for block in unit_blocks(work, 1, together=False)] == [1] * 37
    monkeypatch.setattr(module, "BLOCKS_PER_CPU", 1)
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 16)
    blocks = list(unit_blocks(work, 1))
    assert [block.num_rows for block in blocks] == [16, 16, 5]
    assert all(block.schema == UNITS for block in blocks)
    assert [unit for block in blocks for unit in block["unit"].to_pylist()] == work.units["unit"].to_pylist()


def test_a_block_has_a_limited_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = plan_into(tmp_path, manifest_of([f"p{number}" for number in range(60)]), size=6)
    monkeypatch.setattr(module, "BLOCKS_PER_CPU", 1)
    for rows, expected in [(5, [1] * 10), (12, [2] * 5), (1000, [10])]:
        monkeypatch.setattr(module, "ROWS_PER_BLOCK", rows)
        assert [block.num_rows for block in unit_blocks(work, 1)] == expected


def test_blocks_have_the_credentials_of_their_rows(tmp_path: Path) -> None:
    ids = [f"p{number}" for number in range(5)]
    uris = [f"https://host/{name}?sig={name}" if name not in {"p0", "p2"} else "/p.jpg" for name in ids]
    with planning_of(manifest_of(ids, uri=uris), variants=2) as planning:
        new = plan.plan_new_rows(planning, [], 2)
        units = [
            unit
            for block in unit_blocks(remaining_work(planning, [], new, str(tmp_path)), 9)
            for unit in to_rows(block, Unit)
        ]
    found = [[each.uri for each in unit.addresses or ()] for unit in units]
    assert found == [[], [uris[1]] * 2, [], [uris[3]] * 2, [uris[4]] * 2]
