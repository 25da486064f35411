"""photo2anime bench start: what happens until the first images of the demo are written."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench.events import EventFile, read_events
from jobs.bench.timed_steps import TimedStep
from pipeline.steps.chain import Step


class Model:
    """Returns its rows."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows."""
        return rows


@pytest.mark.slow
def test_the_command_lists_the_steps_until_the_first_images() -> None:
    done = CliRunner().invoke(app, ["bench", "start"], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    names = ["this process", "Ray", "load and fetch", "decode", "control maps", "convert", "encode", "commit"]
    assert set(names) == {name for *_, name, _ in rows}
    firsts = [min(float(begin) for begin, _, name, _ in rows if name == each) for each in names]
    assert firsts[0] == 0
    assert all(float(begin) <= float(end) for begin, end, *_ in rows)
    commits = [float(end) for _, end, name, _ in rows if name == "commit"]
    (first,) = re.findall(r"First images after ([\d.]+) s", done.stdout)
    assert float(first) == commits[0]


def test_a_step_writes_its_creation_and_its_calls(tmp_path: Path) -> None:
    rows = pa.table({"x": [1, 2]})
    TimedStep(Step("some model", "gpu", Model, {}), str(tmp_path))(rows)
    TimedStep(Step("some function", "light", Model()), str(tmp_path))(rows)
    assert [(event.step, event.what) for event in read_events(tmp_path)] == [
        ("some model", "load models"),
        ("some model", "2 rows"),
        ("some function", "2 rows"),
    ]


def test_events_are_sorted_by_their_begin(tmp_path: Path) -> None:
    for begin in (3.0, 1.0, 2.0):
        EventFile(str(tmp_path), "step").write("call", begin)
    assert [event.begin for event in read_events(tmp_path)] == [1.0, 2.0, 3.0]
