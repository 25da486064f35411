"""Closed and full standard streams do not change the work of a command, or are named in its error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import DiskFullError

EXPLAIN = [sys.executable, "-c", "from jobs.app import main; main()", "explain"]
WORK = """
import sys
from jobs import standard_streams
standard_streams.keep_streams_open()
for stream in (sys.stdout, sys.stderr):
    print("text", file=stream, flush=True)
    print("buffered", file=stream)
open({path!r}, "w").close()
sys.exit(3)
"""


@pytest.fixture
def closed_pipe() -> int:
    """Return the end for writing of a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_closed_streams_do_not_stop_the_work(closed_pipe: int, tmp_path: Path) -> None:
    program = [sys.executable, "-c", WORK.format(path=str(tmp_path / "done"))]
    assert subprocess.run(program, stdout=closed_pipe, stderr=closed_pipe, check=False).returncode == 3
    assert (tmp_path / "done").exists()


def test_a_command_whose_output_nobody_reads_succeeds(closed_pipe: int) -> None:
    done = subprocess.run(EXPLAIN, stdout=closed_pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_standard_output_is_named() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(EXPLAIN, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == DiskFullError.exit_code
    (line,) = done.stderr.splitlines()
    assert "standard output" in line
    assert line.endswith(f"[{DiskFullError.code}]")
    assert DiskFullError.hint not in line
