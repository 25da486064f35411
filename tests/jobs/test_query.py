"""The command query: tables on the terminal, and files."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.query import MAX_ROWS
from pipeline.errors import OptionError, QueryError
from pipeline.output import run_file
from pipeline.output.run_file import RunMetadata
from schemas.provenance import PROVENANCE
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import edit, failed_row_of


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> str:
    """Write an output with 60 failed rows."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    planned = [edit(decoded.planned, photo_id=f"[p{number:02d}]", key=f"{number:064d}") for number in range(60)]
    run_file.write_run_file(str(tmp_path), run, {"status": "finished"})
    write_records(tmp_path, run, [failed_row_of(row) for row in planned], 32)
    return str(tmp_path)


def test_a_table_has_the_first_rows_and_the_number_of_the_others(output: str) -> None:
    done = CliRunner().invoke(app, ["query", output, "SELECT photo_id, seed, uri FROM provenance ORDER BY ALL"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("[p") == MAX_ROWS
    assert "[p49]" in done.stdout
    assert "and 10 more rows" in done.stdout


def test_each_column_of_a_wide_result_has_a_line(output: str) -> None:
    done = CliRunner().invoke(app, ["query", output, "FROM provenance WHERE photo_id = '[p07]'"])
    assert any(line.split() == ["photo_id", "[p07]"] for line in done.stdout.splitlines())
    assert "more rows" not in done.stdout
    long = CliRunner().invoke(app, ["query", output, "SELECT photo_id, settings FROM provenance ORDER BY ALL"])
    assert any(line.split() == ["photo_id", "[p04]"] for line in long.stdout.splitlines())
    assert "and 55 more rows" in long.stdout


def test_a_description_names_every_column(output: str) -> None:
    lines = CliRunner().invoke(app, ["query", output, "DESCRIBE provenance"]).stdout.splitlines()
    assert [line.split()[0] for line in lines[3:] if line.strip()] == [*PROVENANCE.names, "superseded"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.parquet"])
def test_a_result_is_written_to_standard_output_or_a_file(output: str, tmp_path: Path, name: str) -> None:
    command = ["query", output, "SELECT photo_id FROM provenance ORDER BY ALL"]
    printed = CliRunner().invoke(app, [*command, "--format", Path(name).suffix[1:]])
    written = CliRunner().invoke(app, [*command, "-o", str(tmp_path / name)])
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    content = (tmp_path / name).read_bytes()
    if name.endswith(".parquet"):
        assert pq.read_table(io.BytesIO(content)) == pq.read_table(io.BytesIO(printed.stdout_bytes))
        assert pq.read_table(io.BytesIO(content)).num_rows == 60
        return
    assert content == printed.stdout_bytes
    lines = content.decode().splitlines()
    assert (
        lines[:2] == ["photo_id", "[p00]"] if name.endswith(".csv") else json.loads(lines[0]) == {"photo_id": "[p00]"}
    )


@pytest.mark.parametrize("arguments", [["-o", "rows.txt"], ["-o", "rows.csv", "--format", "table"]])
def test_a_file_needs_a_format(output: str, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["query", output, "SELECT 1", *arguments])
    assert isinstance(done.exception, OptionError)


def test_an_invalid_query_is_refused(output: str) -> None:
    done = CliRunner().invoke(app, ["query", output, "SELECT no_column FROM provenance"])
    assert isinstance(done.exception, QueryError)
    assert done.exception.exit_code == 2
    assert (done.stdout, len(str(done.exception).splitlines())) == ("", 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i) WHERE a.i + b.i > 5", "p2a-db-*"),
        ("SELECT md5(i::VARCHAR) AS text FROM range(60000000) r(i) ORDER BY text", "p2a-db-*/spilled/*"),
    ],
)
def test_an_interrupted_query_ends_with_one_line(
    output: str, tmp_path: Path, statement: str, state: str, number: signal.Signals
) -> None:
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-c", "from jobs.app import main; main()", "query", output, statement]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(
        [*command, "--format=csv", "--memory=50MB"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        while process.poll() is None and not list((tmp_path / "temporary").glob(state)):
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate()
    assert (process.returncode, errors.count("\n")) == (1, 1), errors
    assert "run.interrupted" in errors
    assert not list((tmp_path / "temporary").iterdir())


def test_control_characters_of_values_are_not_printed(output: str) -> None:
    done = CliRunner().invoke(app, ["query", output, "SELECT 'a' || chr(27) || '[2J' AS x, 'b' || chr(10) || 'c' AS y"])
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "a\\x1b[2J" in done.stdout


def test_a_query_that_is_not_unicode_is_refused(output: str) -> None:
    done = CliRunner().invoke(app, ["query", output, "SELECT '\udcff'"])
    assert isinstance(done.exception, QueryError)
