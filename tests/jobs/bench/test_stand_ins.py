"""The stand-ins of bench flow: synthetic photos go through as many steps as those of a run."""

import functools
from pathlib import Path

import pyarrow as pa

from jobs.bench.events import read_events
from jobs.bench.stand_ins import SyntheticPhotos, stand_in_chain
from pipeline.execution.unit_blocks import unit_blocks
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.row_step import table_to_rows
from schemas.arrow import to_rows
from schemas.provenance import PROVENANCE
from schemas.work import Mapped, Unit
from tests.planning import RECIPE, manifest_of, plan_into

PLAIN = PromptRenderer(RECIPE, ["photo_id", "prompt", "negative_prompt"])


def batches_of(output: Path, size: int) -> list[pa.Table]:
    work = plan_into(output, manifest_of([f"p{number}" for number in range(5)]), size=2)
    load = SyntheticPhotos(str(output), PLAIN, size)
    units = [unit for block in unit_blocks(work, 1) for unit in to_rows(block, Unit)]
    return [batch for unit in units for batch in load.batches(unit)]


def test_photos_have_three_control_maps(tmp_path: Path) -> None:
    batches = batches_of(tmp_path, 16)
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    (row,) = table_to_rows(batches[2], Mapped)
    assert isinstance(row, Mapped)
    assert row.pixels.shape == (16, 16, 3)
    assert [each.pixels.shape for each in row.maps if each and each.pixels is not None] == [(16, 16, 3)] * 3


def test_every_row_becomes_a_row_of_provenance(tmp_path: Path) -> None:
    (tmp_path / "spans").mkdir()
    chain = stand_in_chain(SyntheticPhotos(str(tmp_path), PLAIN, 8), tmp_path / "spans", 0.0)
    steps = [step.create() for step in chain.steps]
    batches = batches_of(tmp_path, 8)
    records = [chain.commit(functools.reduce(lambda rows, step: step(rows), steps, batch)) for batch in batches]
    rows = pa.concat_tables(records)
    assert rows.schema == PROVENANCE
    assert sorted(rows["photo_id"].to_pylist()) == [f"p{number}" for number in range(5)]
    assert set(rows["status"].to_pylist()) == {"done"}
    spans = [(call.begin, call.end) for call in read_events(tmp_path / "spans")]
    assert len(spans) == 3
    assert all(begin <= end for begin, end in spans)
