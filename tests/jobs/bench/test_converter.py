"""photo2anime bench converter: one table beside the tutorial's call, and a batch size."""

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench.converter import _models
from pipeline.faults import RunFault
from pipeline.recipes import load_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]


def test_the_table_and_what_it_suggests() -> None:
    settings = ["--set", "area=4096", "--set", "steps=2", "--rounds", "1", "--batch-sizes", "1,2"]
    done = CliRunner().invoke(app, ["bench", "converter", "--recipe", "demo", *settings], env={"COLUMNS": "220"})
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert any("demo, img2img, 64x64, 2 steps, 3 nets: its own weights, on CPU" in line for line in lines)
    (first,) = [line for line in lines if "a tutorial's call" in line]
    assert "1.00" in first
    assert sum("%" in line for line in lines) == 1 + 2 + 8 + 2  # plain, gains in turn, and ours at both sizes
    assert lines[-1] in {"Suggested: --set batch_size=1", "Suggested: --set batch_size=2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch-sizes", "1,x"], "--batch-sizes 1,x: not numbers above 0. Write them as 1,4,8"),
        (["--batch-sizes", "0"], "not numbers above 0"),
        (["--random", "sd3"], "--random sd3: there is no such architecture. There are sd15, sdxl"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["bench", "converter", "--recipe", "demo", *arguments])
    assert isinstance(done.exception, RunFault)
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
