"""photo2anime bench crossing: the cost of passing rows between the steps of a run."""

import itertools
import math
import re

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import crossing
from jobs.bench.synthetic_rows import run_crossings
from pipeline.execution.batches import pack, unpack
from pipeline.recipes.load import load_recipe
from pipeline.steps.chain import ChainSettings, photo_steps
from pipeline.storage.limits import Access


@pytest.mark.slow
@pytest.mark.parametrize(("goal", "answer"), [(math.inf, "yes"), (0.0, "no")])
def test_the_command_prints_the_costs_and_whether_the_goal_is_met(
    monkeypatch: pytest.MonkeyPatch, goal: float, answer: str
) -> None:
    monkeypatch.setattr(crossing, "GOAL", goal)
    arguments = ["bench", "crossing", "--size", "64", "--rows", "2", "--rounds", "1"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert [name for name, *_ in rows] == [*(each.name for each in run_crossings(2, 64)), "all"]
    sums = [float(row[-2]) for row in rows]
    assert sum(sums[:-1]) == pytest.approx(sums[-1], abs=0.05)
    assert re.search(rf"in all: {answer}, ", done.stdout)


def test_rows_are_unchanged_by_a_crossing() -> None:
    for each in run_crossings(2, 16):
        table = each.to_table(each.rows)
        received = unpack(pack(table))
        assert received.equals(table), each.name
        assert each.to_table(each.to_rows(received)).equals(table), each.name


def test_there_is_a_crossing_after_each_step_of_a_run() -> None:
    steps = photo_steps(ChainSettings(load_recipe("demo"), Access(frozenset())))
    names = ["load and fetch", *(step.name for step in steps), "commit", "driver"]
    assert [each.name for each in run_crossings(1, 16)] == [f"{a}, {b}" for a, b in itertools.pairwise(names)]


def test_only_batches_for_other_processes_are_stored() -> None:
    stored: list[pa.Table] = []

    def store(batch: pa.Table) -> pa.Table:
        stored.append(batch)
        return batch

    for each in run_crossings(2, 16):
        stored.clear()
        cost = crossing.measure(each, 1, store)
        assert len(stored) == (2 if each.between_processes else 0)  # the first round is a warm-up
        assert cost.bytes == pack(each.to_table(each.rows)).nbytes // 2
        assert set(cost.parts) == set(crossing.PARTS)
