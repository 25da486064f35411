"""The command line: fast help, documented exit codes, and one line for each error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.app import app, run_command
from pipeline import storage
from pipeline.errors import DiskFullError, ManifestError, ModelError, OptionError, RecipeError, RunError
from pipeline.recipes.load import load_recipe
from tests.conftest import TINY
from tests.local_run import convert_locally


def photo2anime(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jobs.app import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})


def test_help_imports_no_heavy_library() -> None:
    heavy = {"torch", "ray", "pyarrow", "diffusers", "numpy", "pydantic"}
    code = f"import sys; import jobs.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "convert" in photo2anime("--help").stdout


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"photo_id": ["a"], "uri": ["/none.jpg"]}), path)
    return str(path)


@pytest.mark.slow
def test_an_error_is_one_line_of_text(manifest: str, tmp_path: Path) -> None:
    done = photo2anime("convert", manifest, "--output", str(tmp_path / "out"), "--recipe", "sd16")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("photo2anime: ")
    assert "sd16" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_error_is_one_json_object_with_its_code(manifest: str, tmp_path: Path) -> None:
    command = ("convert", manifest, "--output", str(tmp_path / "out"), "--recipe", "sd16", "--log-format", "json")
    done = photo2anime(*command)
    assert (done.returncode, done.stdout) == (2, "")
    record = json.loads(done.stderr)
    assert record["code"].startswith("recipe.")
    assert "sd16" in record["message"]


@pytest.mark.parametrize(
    ("arguments", "error", "subject"),
    [
        (["--recipe", "sd16"], RecipeError, "sd16"),
        (["--recipe", "demo", "--set", "stepps=3"], RecipeError, "stepps"),
        (["--recipe", "sd15-anime"], ModelError, "Lykon/AnyLoRA"),
        (["--recipe", "demo", "--recipe-changed", "maybe"], OptionError, "--recipe-changed"),
    ],
)
def test_invalid_arguments_are_refused_and_nothing_is_written(
    manifest: str, tmp_path: Path, arguments: list[str], error: type[RunError], subject: str
) -> None:
    done = CliRunner().invoke(app, ["convert", manifest, "--output", str(tmp_path / "out"), *arguments])
    assert isinstance(done.exception, error)
    assert done.exception.exit_code == 2
    assert subject in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_invalid_manifest_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"photo_id": ["twice", "twice"], "uri": ["/x", "/y"]}), tmp_path / "m.parquet")
    command = ["convert", str(tmp_path / "m.parquet"), "--output", str(tmp_path / "out"), "--recipe", "demo"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, ManifestError)
    assert "'twice'" in str(done.exception)


def test_manifest_lists_the_photos_of_a_folder(photos: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["manifest", str(photos), "-o", str(tmp_path / "m.parquet")])
    assert done.exit_code == 0
    assert f"12 photos: {tmp_path}/m.parquet" in done.stdout
    assert pq.read_table(tmp_path / "m.parquet").num_rows == 12


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_convert_and_verify_have_their_exit_codes(photos: Path, tmp_path: Path) -> None:
    table = pa.table({"photo_id": ["good", "bad"], "uri": [str(photos / "p000.jpg"), "/none.jpg"]})
    pq.write_table(table, tmp_path / "m.parquet")
    tiny = [part for setting in ("area=4096", "steps=2") for part in ("--set", setting)]
    command = ["convert", str(tmp_path / "m.parquet"), "--output", str(tmp_path / "out"), "--recipe", "demo", *tiny]
    command += ["--gpus", "0"]  # converters run on the CPU
    runner = CliRunner()
    first = runner.invoke(app, command)
    assert first.exit_code == 3, first.output
    assert "1 images in " in first.stdout
    assert "1 failed" in first.stdout
    (image,) = (tmp_path / "out").glob("images/*/*.png")
    convert_locally(str(tmp_path / "m.parquet"), str(tmp_path / "local"), load_recipe("demo", TINY))
    assert image.read_bytes() == next((tmp_path / "local").glob("images/*/*.png")).read_bytes()
    again = runner.invoke(app, command)
    assert again.exit_code == 3
    assert "Nothing to do" in again.stdout
    valid = runner.invoke(app, ["verify", str(tmp_path / "out")])
    assert (valid.exit_code, "No problems" in valid.stdout) == (0, True)
    next((tmp_path / "out").glob("images/*/*.png")).write_bytes(b"altered")
    damaged = runner.invoke(app, ["verify", str(tmp_path / "out"), "--repair"])
    assert damaged.exit_code == 1
    assert "altered: images/" in damaged.stdout
    assert "1 damaged unit" in damaged.stdout
    missing = runner.invoke(app, ["verify", str(tmp_path / "out"), "--repair"])
    assert "missing: " in missing.stdout
    assert "Run convert again" in missing.stdout
    assert json.loads(storage.read(str(tmp_path / "out" / "_run.json")))["failed_in_all"] == 1


def test_a_full_disk_is_reported_where_any_file_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        Path("/dev/full").write_text("x")

    with pytest.raises(SystemExit) as stopped:
        run_command(write)
    assert stopped.value.code == DiskFullError.exit_code
    assert DiskFullError.code in capsys.readouterr().err


@pytest.mark.parametrize("amount", ["much", "", "-1", "2X", "50kB"])
@pytest.mark.parametrize("option", ["--plan-memory", "--memory", "--object-store-memory"])
def test_an_amount_of_memory_that_is_invalid_or_too_small_is_refused(tmp_path: Path, option: str, amount: str) -> None:
    command = ["convert", "photos.csv", "--output", str(tmp_path / "out"), "--recipe", "demo", f"{option}={amount}"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, OptionError)
    assert f"{option} {amount}:" in str(done.exception)
