"""Processes of a run are killed or stopped at awaited points, and the run is started again."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.torture.lines import line, long_only, tries
from tests.torture.program import POLL_SECONDS, Expected, Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def states(program: Program) -> Iterator[Callable[[], bool]]:
    """Yield the points at which a run is killed: its first files, and then every further record."""
    output = Path(program.output)
    yield lambda: any(output.glob("_lease/*.json"))
    yield (output / "_run.json").exists
    yield (output / "_manifest.parquet").exists
    yield lambda: any(output.glob("_plan/*.parquet"))
    yield lambda: any(output.glob("maps/*/*.png")) or any(output.glob("images/*/*.png"))
    while True:
        yield next_record(program)


def next_record(program: Program) -> Callable[[], bool]:
    """Return a function that returns whether a further record was written."""
    before = program.records()
    return lambda: program.records() > before


@long_only  # `tests/test_kill.py` is its short form
@pytest.mark.parametrize("command", ["maps", "images"])
def test_the_driver_is_killed(command: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    expected: Expected = request.getfixturevalue(command)
    program, log = Program(expected, str(tmp_path / "out")), tmp_path / "log"
    with line(f"SIGKILL of the driver, {expected.command}") as added:
        points = states(program)
        for _ in range(tries(14 if command == "maps" else 6, 1)):
            with program.running(log) as running:
                if not running.reach(next(points)):
                    break
                running.process.send_signal(signal.SIGKILL)
            added.tries += 1
        program.finish(added, log)


def test_workers_are_killed(images: Expected, tmp_path: Path) -> None:
    program, log = Program(images, str(tmp_path / "out")), tmp_path / "log"
    with line("SIGKILL of workers") as added:
        with program.running(log) as running:
            running.reach(lambda: bool(running.workers("Convert")))
            for name in [*["ControlMaps", "Convert", "LoadUnits", "Commit"] * tries(3, 0), "Convert"]:
                for worker in running.workers(name)[:1]:
                    worker.kill()
                    added.tries += 1
                if not running.reach(next_record(program)):
                    break
            running.wait(added)
        program.finish(added, log)


@long_only
def test_a_worker_and_the_driver_are_stopped_and_continued(images: Expected, tmp_path: Path) -> None:
    program, log = Program(images, str(tmp_path / "out")), tmp_path / "log"
    with line("SIGSTOP and SIGCONT of a worker and of the driver") as added:
        with program.running(log) as running:
            for _ in range(tries(4, 1)):
                if not running.reach(next_record(program)):
                    break
                stopped = [*running.workers("Convert")[:1], psutil.Process(running.process.pid)]
                for process in stopped:
                    process.suspend()
                while not all(process.status() == psutil.STATUS_STOPPED for process in stopped):
                    time.sleep(POLL_SECONDS)
                for process in stopped:
                    process.resume()
                added.tries += 1
            running.wait(added)
        program.finish(added, log)


@long_only
def test_five_runs_start_together(maps: Expected, tmp_path: Path) -> None:
    sizes = ["1", "2", "3", "4", "5"]
    programs = [Program(maps, str(tmp_path / "out"), options=("--unit-size", size)) for size in sizes[: tries(5, 3)]]
    with line("runs that start together") as added:
        for number in range(tries(3, 1)):
            logs = [tmp_path / f"log-{number}-{each}" for each in range(len(programs))]
            contexts = [program.running(log) for program, log in zip(programs, logs, strict=True)]
            running = [context.__enter__() for context in contexts]
            codes = [each.wait(added) for each in running]
            for context in contexts:
                context.__exit__(None, None, None)
            added.tries += len(programs)
            assert set(codes) <= {0, 2}, codes
            assert 0 in codes
            programs[0].count(added)
