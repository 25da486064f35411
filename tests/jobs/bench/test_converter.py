"""photo2anime bench converter: a table with a baseline, and a suggested batch size."""

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.bench import hardware, throughput
from jobs.bench.converter import _models
from jobs.bench.throughput import OPTIMIZATIONS
from pipeline.errors import OptionError, RecipeError, RunError
from pipeline.recipes.load import load_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def test_the_command_prints_a_table_and_suggests_a_batch_size(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "SECONDS", {"cpu": 0.01})
    # Only two, because the models are loaded for each.
    names = {field: OPTIMIZATIONS[field] for field in ("skip_inactive", "compiled")}
    monkeypatch.setattr(throughput, "OPTIMIZATIONS", names)
    detectors = ("canny", "openpose", "depth")
    models = [f"base.name={sd / 'base'}", *[f"controls.{name}.net.name={sd / 'net-0'}" for name in detectors]]
    settings = [part for setting in (*models, "area=4096", "steps=1", "strength=1.0") for part in ("--set", setting)]
    command = ["bench", "converter", "--recipe", "demo", *settings, "--rounds", "1", "--batch-sizes", "1,2"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "220"})
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert any("demo, img2img, 64x64, 1 steps, 3 ControlNets, recipe weights, CPU, threads" in line for line in lines)
    (first,) = [line for line in lines if "baseline, PIL images" in line]
    assert "1.00" in first  # the speedup of the baseline
    for field, name in names.items():
        assert any(f"+ {name} " in line for line in lines) == (field != "compiled"), name
    assert sum("photo2anime  " in line for line in lines) == 2  # one row for each batch size
    assert lines[-2] in {"Suggested: --set batch_size=1", "Suggested: --set batch_size=2"}
    assert lines[-1].startswith("On a CPU, convert always uses batch size 1")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--batch-sizes", "1,x"], OptionError),
        (["--batch-sizes", "0"], OptionError),
        (["--batch-sizes", "4", "--set", "memory=low"], OptionError),
        (["--set", "mode=maps"], RecipeError),
        (["--random", "sd3"], OptionError),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], error: type[RunError]) -> None:
    done = CliRunner().invoke(app, ["bench", "converter", "--recipe", "demo", *arguments])
    assert isinstance(done.exception, error)


def test_random_weights_replace_missing_weights(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "photo2anime")
    recipe, _, weights = _models(load_recipe("sd15-anime"), None)
    assert weights == "random weights of sd15"
    assert len(recipe.controls) == 3
    assert "Lykon/AnyLoRA" in caplog.text
    assert _models(load_recipe("demo"), None)[2] == "recipe weights"
    assert _models(load_recipe("demo"), "sdxl")[2] == "random weights of sdxl"
