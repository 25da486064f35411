"""The command line: help at once, exit codes as documented, one line for each mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs import app as module
from pipeline import storage
from pipeline.recipes.load import load_recipe
from tests.conftest import TINY
from tests.local_run import convert_locally


def photo2anime(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jobs.app import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})


def test_help_needs_nothing_heavy() -> None:
    heavy = {"torch", "ray", "pyarrow", "diffusers", "numpy", "pydantic"}
    watched = f"import sys; import jobs.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "convert" in photo2anime("--help").stdout


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"photo_id": ["a"], "uri": ["/none.jpg"]}), path)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "sd16"], "there is no recipe 'sd16'"),
        (["--recipe", "demo", "--set", "stepps=3"], "stepps: is no key of a recipe"),
        (["--recipe", "sd15-anime"], "Lykon/AnyLoRA@main: neither in the hub's cache nor to be had"),
        (
            ["--recipe", "demo", "--recipe-changed", "maybe"],
            "--recipe-changed: Input should be 'refuse' or 'reconvert'",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(manifest: str, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = photo2anime("convert", manifest, "--output", str(tmp_path / "out"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("photo2anime: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_manifest_is_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"photo_id": ["a", "a"], "uri": ["/x", "/y"]}), tmp_path / "m.parquet")
    done = photo2anime("convert", str(tmp_path / "m.parquet"), "--output", str(tmp_path / "out"), "--recipe", "demo")
    assert done.returncode == 2
    assert "photo_id 'a' stands in 2 rows" in done.stderr


def test_a_manifest_is_written(photos: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(module.app, ["manifest", str(photos), "-o", str(tmp_path / "m.parquet")])
    assert done.exit_code == 0
    assert f"12 photos: {tmp_path}/m.parquet" in done.stdout
    assert pq.read_table(tmp_path / "m.parquet").num_rows == 12


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_convert_verify_and_their_exit_codes(photos: Path, tmp_path: Path) -> None:
    table = pa.table({"photo_id": ["good", "bad"], "uri": [str(photos / "p000.jpg"), "/none.jpg"]})
    pq.write_table(table, tmp_path / "m.parquet")
    tiny = [part for setting in ("area=4096", "steps=2") for part in ("--set", setting)]
    command = ["convert", str(tmp_path / "m.parquet"), "--output", str(tmp_path / "out"), "--recipe", "demo", *tiny]
    command += ["--gpus", "0"]  # converters run on the CPU
    runner = CliRunner()
    first = runner.invoke(module.app, command)
    assert first.exit_code == 3, first.output
    assert "1 pictures in " in first.stdout
    assert "1 failed" in first.stdout
    (image,) = (tmp_path / "out").glob("images/*/*.png")
    convert_locally(str(tmp_path / "m.parquet"), str(tmp_path / "local"), load_recipe("demo", TINY))
    assert image.read_bytes() == next((tmp_path / "local").glob("images/*/*.png")).read_bytes()
    again = runner.invoke(module.app, command)
    assert again.exit_code == 3
    assert "Nothing to do" in again.stdout
    sound = runner.invoke(module.app, ["verify", str(tmp_path / "out")])
    assert (sound.exit_code, "Sound" in sound.stdout) == (0, True)
    next((tmp_path / "out").glob("images/*/*.png")).write_bytes(b"altered")
    broken = runner.invoke(module.app, ["verify", str(tmp_path / "out"), "--repair"])
    assert broken.exit_code == 1
    assert "altered: images/" in broken.stdout
    assert "reopened 1 units" in broken.stdout
    assert json.loads(storage.read(str(tmp_path / "out" / "_run.json")))["failed_in_all"] == 1
