"""The command manifest: headers, their omission, and a Ray cluster."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from typer.testing import CliRunner

from jobs.app import app
from pipeline.errors import ClusterError, OptionError


def list_folder(photos: Path, out: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["manifest", str(photos), "-o", str(out), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_photos_without_a_readable_header_are_counted(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes((photos / "p000.jpg").read_bytes())
    (tmp_path / "in" / "b.jpg").write_text("text")
    out = tmp_path / "m.parquet"
    assert list_folder(tmp_path / "in", out).splitlines() == [f"2 photos, 1 without a readable header: {out}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.parquet"]


def test_no_headers_leaves_the_sizes_out(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    assert list_folder(photos, out, "--no-headers").splitlines() == [f"12 photos: {out}"]
    assert pq.read_table(out)["width"].null_count == 12
    list_folder(photos, out, "--rate", "1000")
    assert pq.read_table(out)["width"].null_count == 0


@pytest.mark.parametrize("options", [["m.csv"], ["m"], ["folder/"], ["m.parquet", "--no-headers", "--rate", "1"]])
def test_options_that_make_no_sense_are_refused(photos: Path, tmp_path: Path, options: list[str]) -> None:
    name, *others = options
    done = CliRunner().invoke(app, ["manifest", str(photos), "-o", f"{tmp_path}/{name}", *others])
    assert isinstance(done.exception, OptionError)
    assert not list(tmp_path.iterdir())


def test_a_rate_that_is_not_positive_is_refused(photos: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["manifest", str(photos), "-o", str(tmp_path / "m.parquet"), "--rate", "0"])
    assert done.exit_code == 2


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_is_an_error(photos: Path, tmp_path: Path) -> None:
    command = ["manifest", str(photos), "-o", str(tmp_path / "m.parquet"), "--address", "127.0.0.1:1"]
    assert isinstance(CliRunner().invoke(app, command).exception, ClusterError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("ray_session")
def test_headers_are_read_on_a_cluster(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    list_folder(photos, out, "--address", ray.get_runtime_context().gcs_address, "--rate", "1000")
    assert pq.read_table(out)["width"].null_count == 0
