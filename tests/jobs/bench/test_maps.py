"""The benchmark of maps: every detector has its bare call beside it, and one table says what holds."""

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import map_chain
from jobs.bench.map_detectors import GIVEN_ALONE, TIMED, detector_rows
from jobs.bench.timing import TimedRow, Timing
from schemas.detectors import DETECTORS

pytestmark = pytest.mark.filterwarnings("ignore")


def test_every_detector_is_timed() -> None:
    assert {settings.name for settings in TIMED} == set(DETECTORS)


@pytest.mark.timeout(180)
def test_each_has_a_bare_call_over_the_same_pixels() -> None:
    rows = list(detector_rows([64], {}, [], rounds=1))
    assert {row.what.split(",")[0].split()[0] for row in rows} == set(DETECTORS) - GIVEN_ALONE
    assert all(row.timing.milliseconds > 0 and row.timing.bare_milliseconds > 0 for row in rows)
    assert {row.what for row in rows if row.at_most} == {"canny, 64", "tile, 64", "inpaint, 64"}


def test_one_table_and_what_does_not_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = TimedRow("a chain", "its calls", Timing(2.0, 0.002, 1.0), at_most=1.15)
    monkeypatch.setattr(map_chain, "chain_rows", lambda _rounds: iter([slow]))
    monkeypatch.setattr("jobs.bench.map_detectors.TIMED", TIMED[1:2])
    done = CliRunner().invoke(app, ["bench", "maps", "--sizes", "64", "--rounds", "1"], env={"COLUMNS": "160"})
    assert done.exit_code == 1, done.output
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.count("│") == 9}
    assert "cv2.blur" in lines["tile, 64"]
    assert "NO" in lines["a chain"]


def test_one_detector_alone() -> None:
    arguments = ["bench", "maps", "--only", "canny", "--sizes", "64", "--rounds", "1"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert "cv2.Canny" in done.stdout
    assert "tile" not in done.stdout
