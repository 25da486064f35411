"""The options of the command verify."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.verify import parse_share
from pipeline.errors import ClusterError, NotAnOutputError, OptionError, OutputInUseError
from pipeline.output.lease import lease_of
from pipeline.output.run_file import RunMetadata, write_run_file
from schemas.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("100%", 1), ("0.25", 0.25), ("1", 1), ("0", 0)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "x", "101%", "2", "-1%", "nan", "1%%", "1% of"])
def test_other_shares_are_refused(tmp_path: Path, text: str) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path), f"--sample={text}"])
    assert isinstance(done.exception, OptionError)


@pytest.mark.parametrize("options", [[], ["--repair"]])
def test_a_folder_that_is_not_an_output_is_refused(tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path), *options])
    assert isinstance(done.exception, NotAnOutputError)
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_not_repaired_while_a_run_writes_to_it(tmp_path: Path, recipe: Recipe) -> None:
    write_run_file(str(tmp_path), RunMetadata("run-1", recipe, "0.1.0", None), {"status": "running"})
    image = tmp_path / "images" / "unit" / "new.png"  # its record is not written yet
    image.parent.mkdir(parents=True)
    image.touch()
    with lease_of(str(tmp_path), "convert") as lease:
        lease.acquire()
        done = CliRunner().invoke(app, ["verify", str(tmp_path), "--repair"])
        assert isinstance(done.exception, OutputInUseError)
        assert image.exists()
        assert CliRunner().invoke(app, ["verify", str(tmp_path)]).exit_code == 1
    assert CliRunner().invoke(app, ["verify", str(tmp_path), "--repair"]).exit_code == 1
    assert not image.exists()
    assert not (tmp_path / "_lease").exists()


@pytest.mark.parametrize(("status", "word"), [("running", "in progress"), ("stopped", "stopped"), ("finished", None)])
def test_an_unfinished_run_explains_missing_rows(tmp_path: Path, recipe: Recipe, status: str, word: str | None) -> None:
    write_run_file(str(tmp_path), RunMetadata("run-1", recipe, "0.1.0", None), {"status": status})
    (tmp_path / "images" / "unit").mkdir(parents=True)
    (tmp_path / "images" / "unit" / "new.png").touch()
    printed = CliRunner().invoke(app, ["verify", str(tmp_path)]).output
    assert ("same command" in printed) == (word is not None)
    assert word is None or word in printed


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path), "--address", "127.0.0.1:1"])
    assert isinstance(done.exception, ClusterError)
