"""Run the evaluation command: the table, and its exit code."""

import pytest
import typer
from typer.testing import CliRunner

from jobs.demo_model import eval_inputs, metrics_table, speed
from jobs.demo_model.evaluate import evaluate
from jobs.demo_model.metrics_table import require_maximum, require_minimum
from pipeline.errors import RecipeError

app = typer.Typer()
app.command()(evaluate)


def test_table_lists_every_figure_and_a_failed_figure_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [require_minimum("edges", 0.5, 0.7, 0.1, "chance"), require_maximum("noise", 0.1, 0.2, 0.9, "without")]
    seconds = require_maximum("seconds", 1.5, 2.5, 2.0, "one process")
    monkeypatch.setattr(metrics_table, "all_figures", lambda _photos, _settings: iter(figures))
    monkeypatch.setattr(speed, "speed_figures", lambda: iter([seconds]))
    done = CliRunner().invoke(app, [], env={"COLUMNS": "200"})
    assert done.exit_code == 1, done.output
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.count("│") == 7}
    assert "NO" in lines["edges"]
    assert "yes" in lines["noise"]
    assert "1.50" in lines["seconds"]


def test_passed_figures_exit_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [require_minimum("edges", 0.8, 0.7, 0.1, "chance")]
    monkeypatch.setattr(metrics_table, "all_figures", lambda _photos, _settings: iter(figures))
    assert CliRunner().invoke(app, ["--no-speed"]).exit_code == 0


def test_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval_inputs, "PHOTOS", ("coffee.png",))
    done = CliRunner().invoke(app, ["--no-speed", "--set", "stepz=1"])
    assert isinstance(done.exception, RecipeError)
    assert "stepz" in str(done.exception)
