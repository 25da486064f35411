"""photo2anime bench converter: one table beside the tutorial's call, and a batch size."""

from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import converter
from jobs.bench.converter import _models
from jobs.bench.throughput import OPTIMIZATIONS, Measurement
from pipeline.errors import RunError
from pipeline.recipes.load import load_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]


def test_the_table_has_every_gain_in_turn_and_a_size_is_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Measurement] = []
    table = converter._table

    def noted(recipe: Any, told: str, rate: float, rows: list[Measurement]) -> Any:
        measured.extend(rows)
        return table(recipe, told, rate, rows)

    monkeypatch.setattr(converter, "_table", noted)
    changes = ("area=4096", "steps=2", "strength=1.0", "controls.depth.end=0.5")
    settings = [part for change in changes for part in ("--set", change)]
    command = ["bench", "converter", "--recipe", "demo", *settings, "--rounds", "1", "--batch-sizes", "1,2"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "220"})
    assert done.exit_code == 0, done.output
    # 1. What is printed.
    lines = done.stdout.splitlines()
    assert any("demo, img2img, 64x64, 2 steps, 3 nets: its own weights, on CPU, 1 thread" in line for line in lines)
    (first,) = [line for line in lines if "a tutorial's call" in line]
    assert "1.00" in first
    assert sum("%" in line for line in lines) == 1 + 2 + 8 + 2  # plain, gains in turn, and ours at both sizes
    assert lines[-2] in {"Suggested: --set batch_size=1", "Suggested: --set batch_size=2"}
    assert lines[-1].startswith("A run on a CPU draws one by one all the same")
    # 2. Every gain has its row, and only some spare arithmetic.
    on = [f"  + {what}" for gain, what in OPTIMIZATIONS.items() if gain != "compiled"]
    files = ["ours and its files, in turns", "  + encoded in threads meanwhile"]
    assert [row.what for row in measured][3:-2] == ["ours without gains", *on, *files]
    flop = {row.what: row.flop or 0 for row in measured}
    assert flop["  + silent nets are not run"] < 0.95 * flop["ours without gains"]
    assert flop["  + maps are embedded once"] < 0.98 * flop["  + silent nets are not run"]
    assert flop["  + channels last"] == flop["  + bytes to the device and back"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch-sizes", "1,x"], "--batch-sizes 1,x: not numbers above 0. Write them as 1,4,8"),
        (["--batch-sizes", "0"], "not numbers above 0"),
        (["--set", "mode=maps"], "recipe demo: mode maps draws no picture. Measure control maps"),
        (["--random", "sd3"], "--random sd3: there is no such architecture. There are sd15, sdxl"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["bench", "converter", "--recipe", "demo", *arguments])
    assert isinstance(done.exception, RunError)
    assert said in str(done.exception)


def test_without_weights_random_ones_are_measured_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    recipe, _, told = _models(load_recipe("sd15-anime"), None)
    assert told == "random weights of sd15's architecture"
    assert len(recipe.controls) == 3
    said = capsys.readouterr().err
    assert "Lykon/AnyLoRA@main: neither in the hub's cache" in said
    assert "Random weights of sd15's architecture are measured instead." in said
    assert _models(load_recipe("demo"), None)[2] == "its own weights"
    assert _models(load_recipe("demo"), "sdxl")[2] == "random weights of sdxl's architecture"
