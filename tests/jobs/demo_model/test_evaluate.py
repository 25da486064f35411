"""The benchmark's command: one table, and what does not hold is said."""

import pytest
import typer
from typer.testing import CliRunner

from jobs.demo_model import metrics_table, speed
from jobs.demo_model.evaluate import evaluate

app = typer.Typer()
app.command()(evaluate)


def test_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        metrics_table.at_least("edges", 0.5, 0.7, 0.1, "chance"),
        metrics_table.at_most("noise", 0.1, 0.2, 0.9, "without"),
    ]
    monkeypatch.setattr(metrics_table, "all_figures", lambda _photos, _settings: iter(made))
    monkeypatch.setattr(
        speed, "speed_figures", lambda: iter([metrics_table.at_most("seconds", 1.5, 2.5, 2.0, "one alone")])
    )
    done = CliRunner().invoke(app, [], env={"COLUMNS": "200"})
    assert done.exit_code == 1, done.output  # one figure does not hold
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.count("│") == 7}
    assert "NO" in lines["edges"]
    assert "yes" in lines["noise"]
    assert "1.50" in lines["seconds"]


def test_what_holds_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [metrics_table.at_least("edges", 0.8, 0.7, 0.1, "chance")]
    monkeypatch.setattr(metrics_table, "all_figures", lambda _photos, _settings: iter(made))
    assert CliRunner().invoke(app, ["--no-speed"]).exit_code == 0


def test_a_setting_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.demo_model.eval_inputs.PHOTOS", ("coffee.png",))
    done = CliRunner().invoke(app, ["--no-speed", "--set", "stepz=1"])
    assert "stepz" in str(done.exception)
