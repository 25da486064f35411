"""photo2anime bench maps: every detector is timed, and an exceeded bound is exit code 1."""

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import map_chain
from jobs.bench.map_detectors import TIMED, detector_rows
from jobs.bench.timing import TimedRow, Timing
from schemas.detectors import DETECTORS

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def test_every_detector_is_in_the_benchmark() -> None:
    assert {settings.name for settings in TIMED} == set(DETECTORS)


@pytest.mark.slow
def test_detectors_and_their_baselines_run() -> None:
    detectors = ["canny", "tile", "inpaint", "softedge", "scribble", "lineart", "seg"]  # the fast ones
    rows = list(detector_rows([64], {}, detectors, rounds=1))
    assert {row.name.split(",")[0].split()[0] for row in rows} == set(detectors)
    assert all(row.timing.milliseconds > 0 and row.timing.baseline_milliseconds > 0 for row in rows)
    assert {row.name for row in rows if row.max_ratio} == {"canny, 64", "tile, 64", "inpaint, 64"}


def test_the_command_prints_a_table_and_exits_with_1_if_a_target_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = TimedRow("a chain", "library calls", Timing(2.0, 0.002, 1.0), max_ratio=1.15)
    monkeypatch.setattr(map_chain, "chain_rows", lambda _rounds: iter([slow]))
    monkeypatch.setattr("jobs.bench.map_detectors.TIMED", TIMED[1:2])
    done = CliRunner().invoke(app, ["bench", "maps", "--sizes", "64", "--rounds", "1"], env={"COLUMNS": "160"})
    assert done.exit_code == 1, done.output
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.count("│") == 9}
    assert "cv2.blur" in lines["tile, 64"]
    assert "NO" in lines["a chain"]
