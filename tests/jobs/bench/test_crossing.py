"""photo2anime bench crossing: several ways to pass rows between two steps give the same pixels."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import crossing
from pipeline.steps.row_step import rows_to_table, table_to_rows
from schemas.work import Mapped

NAMES = [crossing.COPY, crossing.CROSSING, crossing.DICTIONARIES, crossing.STEP]


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "MIN_SAMPLE", 0.001)


@pytest.mark.parametrize(("goal", "answer"), [(math.inf, "yes"), (0.0, "no")])
def test_the_command_prints_the_costs_and_whether_the_goal_is_met(
    monkeypatch: pytest.MonkeyPatch, goal: float, answer: str
) -> None:
    monkeypatch.setattr(crossing, "GOAL", goal)
    arguments = ["bench", "crossing", "--size", "64", "--rows", "2", "--rounds", "1"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    lines = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.count("│") == 5]
    assert [name.strip() for name, *_ in lines] == NAMES
    figures = [float(cell.replace(",", "")) for _, *cells in lines for cell in cells]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    assert f"{answer}, " in done.stdout.splitlines()[-1]


def test_costs_are_per_photo() -> None:
    costs = crossing.measure(crossing.mapped_rows(2, 64), rounds=1)
    assert [cost.name for cost in costs] == NAMES
    pixels = 4 * 64 * 64 * 3  # a photo and three control maps
    assert costs[0].bytes == pixels
    assert all(pixels < cost.bytes < 1.2 * pixels for cost in costs[1:])


def test_the_baseline_with_dictionaries_gives_the_same_table_and_pixels() -> None:
    rows = crossing.mapped_rows(2, 64)
    table = rows_to_table(rows, Mapped)
    records = crossing.records_to_table([asdict(row) for row in rows], table.schema)
    assert records.equals(table)
    for row, crossed, record in zip(
        rows, table_to_rows(table, Mapped), crossing.table_to_records(records), strict=True
    ):
        assert isinstance(crossed, Mapped)
        baseline = [record["pixels"], *(control_map["pixels"] for control_map in record["maps"])]
        for expected, *images in zip(crossing.images_of(row), crossing.images_of(crossed), baseline, strict=True):
            assert all(np.array_equal(expected, image) for image in images)
