"""A run whose Ray ends or whose terminal is closed has the documented exit code, message and status."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.errors import InterruptedRunError, RayEndedError
from tests.conftest import TINY
from tests.processes import ended_afterwards, processes_of
from tests.ray_head import NO_GPU
from tests.test_kill import POLL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PROGRAM = [sys.executable, "-c", "from jobs.app import main; main()"]


@dataclass(frozen=True)
class Driver:
    """A run of `maps` with its own temporary folder."""

    process: "subprocess.Popen[str]"
    output: Path
    temporary: Path

    def wait_for_record(self) -> None:
        """Wait until the first unit is recorded."""
        self.wait_until(lambda: any(self.output.glob("provenance/*")))

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until the run has reached a state. Fails if it ends before."""
        while not reached():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(POLL_SECONDS)

    def raylet(self) -> psutil.Process:
        """Return the raylet of the run."""
        (found,) = (each for each in processes_of(str(self.temporary)) if each.name() == "raylet")
        return found

    def run_file(self) -> dict[str, object]:
        """Return the content of the run file."""
        content: dict[str, object] = json.loads((self.output / "_run.json").read_text())
        return content


@contextmanager
def driver(photos: Path, output: Path, terminal: int | None = None) -> Iterator[Driver]:
    """Start a run, on a terminal if one is given, and end all of its processes afterwards."""
    settings = [part for setting in TINY for part in ("--set", setting)]
    required = [str(photos), "--output", str(output), "--recipe", "demo", "--unit-size", "1"]
    command = [*PROGRAM, "maps", *required, *settings]
    with tempfile.TemporaryDirectory(prefix="driver-", ignore_cleanup_errors=True) as temporary:
        environment = os.environ | NO_GPU | {"TMPDIR": temporary}
        stream = subprocess.PIPE if terminal is None else terminal
        process = subprocess.Popen(
            [*(("setsid", "--ctty") if terminal is not None else ()), *command],
            env=environment,
            stdin=terminal,
            stdout=stream,
            stderr=stream,
            text=True,
        )
        with ended_afterwards(process, temporary):
            yield Driver(process, output, Path(temporary))


def test_the_end_of_the_raylet_stops_the_run(photos: Path, tmp_path: Path) -> None:
    with driver(photos, tmp_path / "out") as run:
        run.wait_for_record()
        run.raylet().send_signal(signal.SIGKILL)
        _, errors = run.process.communicate()
        assert run.process.returncode == RayEndedError.exit_code
        assert errors.splitlines()[-1].endswith(f"[{RayEndedError.code}]")
        assert run.run_file()["status"] == "stopped"
        assert not any(run.temporary.iterdir())
        assert not any(run.output.glob("_lease/*"))


@pytest.mark.usefixtures("hang_up_not_ignored")
def test_a_closed_terminal_stops_the_run(photos: Path, tmp_path: Path) -> None:
    terminal, program_side = pty.openpty()
    with driver(photos, tmp_path / "out", program_side) as run:
        os.close(program_side)
        run.wait_for_record()
        os.close(terminal)  # the system sends SIGHUP
        assert run.process.wait() == InterruptedRunError.exit_code
        assert run.run_file()["status"] == "stopped"
        assert not any(run.temporary.iterdir())
        assert not any(run.output.glob("_lease/*"))
        assert not processes_of(str(run.temporary))
