"""A run that is killed twice and started again each time has the output of an undisturbed run."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.output import plan_store, provenance
from pipeline.output.verify import verify
from schemas.options import Options
from schemas.recipe import Recipe
from tests.conftest import TINY
from tests.local_run import convert_locally
from tests.planning import rows_of as rows_of_plans
from tests.processes import ended_afterwards
from tests.ray_head import NO_GPU
from tests.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(3600)]
PHOTOS = 12
POLL_SECONDS = 0.02


def command(photos: Path, output: Path) -> list[str]:
    """Return the command that converts `photos` in units of one row."""
    settings = [part for setting in TINY for part in ("--set", setting)]
    program = [sys.executable, "-c", "from jobs.app import main; main()"]
    return [*program, "convert", str(photos), "--output", str(output), "--recipe", "demo", "--unit-size", "1",
            *settings]  # fmt: skip


@contextmanager
def running(photos: Path, output: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run with its own temporary folder, and end all of its processes afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="kill-", ignore_cleanup_errors=True) as temporary,
        log.open("ab") as sink,
    ):
        environment = os.environ | NO_GPU | {"TMPDIR": temporary}
        process = subprocess.Popen(command(photos, output), stdout=sink, stderr=sink, env=environment)
        with ended_afterwards(process, temporary):
            yield process


def records_of(output: Path) -> int:
    return len(provenance.done_units(str(output)))


def kill_when(reached: Callable[[], bool], photos: Path, output: Path, log: Path) -> None:
    """Start a run and kill it as soon as its output has reached a state; on a busy machine it may have finished."""
    with running(photos, output, log) as process:
        while process.poll() is None and not reached():
            time.sleep(POLL_SECONDS)
        assert process.poll() in {None, 0}, log.read_text()
        process.send_signal(signal.SIGKILL)


def test_a_killed_run_resumes_and_ends_like_an_undisturbed_run(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    output, log = tmp_path / "out", tmp_path / "log"

    kill_when(lambda: any(output.glob("_plan/*.parquet")), photos, output, log)  # the work is planned
    kill_when(lambda: records_of(output) > 0, photos, output, log)  # and partly done
    recorded = {row["key"]: row["sha256"] for row in read_records(output)}
    assert recorded
    with running(photos, output, log) as process:
        assert process.wait() == 0, log.read_text()

    rows = read_records(output)
    assert recorded.items() <= {row["key"]: row["sha256"] for row in rows}.items()  # nothing is lost
    assert Counter(row["key"] for row in rows) == Counter(
        rows_of_plans(plan_store.read_plans(str(output)))["key"].to_pylist()
    )
    assert len(rows) == PHOTOS
    assert verify(str(output)).valid
    undisturbed = tmp_path / "undisturbed"
    convert_locally(str(photos), str(undisturbed), recipe, Options(unit_size=1))
    assert {row["uri"]: row["sha256"] for row in rows} == {
        row["uri"]: row["sha256"] for row in read_records(undisturbed)
    }
