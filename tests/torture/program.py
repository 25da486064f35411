"""Start the command line as a program, disturb it at a state, run it again until it succeeds, and count its rows."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipeline import storage
from pipeline.output.provenance import done_units
from pipeline.output.verify import verify
from pipeline.plan.listing import list_photos
from schemas.options import Options
from schemas.recipe import Recipe
from tests.conftest import ROOT, TINY
from tests.local_run import convert_locally
from tests.processes import ended_afterwards, processes_of
from tests.ray_head import NO_GPU
from tests.records import read_records
from tests.torture.lines import Line

POLL_SECONDS = 0.02
HANG_SECONDS = 600.0  # of a run that takes half a minute
RERUNS = 6
PROGRAM = [sys.executable, "-c", "from jobs.app import main; main()"]
EARLY = (0, 1, 2, 3)  # exit codes; 2 and 3: the storage was disturbed when the manifest, or a photo, was read


@dataclass(frozen=True)
class Expected:
    """What an undisturbed run writes: the digests of the files of each row by its photo."""

    command: str
    photos: Path
    digests: dict[str, list[str]]


def expected_of(photos: Path, folder: Path, command: str) -> Expected:
    """Run a command on photos in this process, undisturbed."""
    output = str(folder / "out")
    convert_locally(str(photos), output, _recipe(command), Options(unit_size=2))
    return Expected(command, photos, digests_of(output))


def _recipe(command: str) -> Recipe:
    from pipeline.recipes.load import load_recipe

    return load_recipe("demo", [*TINY, "mode=maps"] if command == "maps" else TINY)


def digests_of(output: str) -> dict[str, list[str]]:
    """Return the digests of the images and control maps of the done rows by their photos."""
    rows = [row for row in read_records(output) if row["status"] == "done"]
    return {
        row["photo_id"]: [str(row["sha256"]), *(str(each["file_sha256"]) for each in row["controls"])] for row in rows
    }


def count_rows(output: str) -> None:
    """Print the numbers of rows of an output that are lost or recorded twice, and the digests of the others."""
    keys, findings = Counter(row["key"] for row in read_records(output)), verify(output)
    numbers = {
        "twice": sum(keys.values()) - len(keys) + len(findings.duplicate),
        "lost": len(findings.missing) + len(findings.altered) + len(findings.orphaned),
    }
    print(json.dumps(numbers | {"digests": digests_of(output)}))  # noqa: T201 - read by `Program.count`


def upload_photos(folder: str, root: str, bucket: str = "") -> None:
    """Write photos and their manifest to a bucket, which is created if its address is given."""
    if bucket:
        fs, path = storage.filesystem(bucket)
        fs.mkdir(path)
    for photo in Path(folder).iterdir():
        storage.put(f"{root}/in/{photo.name}", photo.read_bytes())
    storage.put_table(f"{root}/manifest.parquet", list_photos(f"{root}/in"))


@dataclass
class Program:
    """A command on an output, which may be started again and again.

    Attributes:
        expected: The command, its photos, and what it writes.
        output: The address of the output.
        manifest: The address of the manifest, if it is not the folder of the photos.
        options: Further options of the command.
        environment: Further environment variables.
    """

    expected: Expected
    output: str
    manifest: str = ""
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        settings = [part for setting in TINY for part in ("--set", setting)]
        source = self.manifest or str(self.expected.photos)
        required = [self.expected.command, source, "--output", self.output, "--recipe", "demo", "--unit-size", "2"]
        return [*PROGRAM, *required, *settings, *self.options]

    @contextmanager
    def running(self, log: Path) -> Iterator["Running"]:
        """Start the program with its own temporary folder, and end all of its processes afterwards."""
        temporary = tempfile.mkdtemp(prefix="tort")
        try:
            with log.open("ab") as sink:
                environment = os.environ | NO_GPU | {"TMPDIR": temporary} | self.environment
                process = subprocess.Popen(self.arguments, stdout=sink, stderr=sink, env=environment, cwd=ROOT)
                with ended_afterwards(process, temporary):
                    yield Running(process, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def records(self) -> int:
        """Return the number of records."""
        return len(done_units(self.output))

    def finish(self, line: Line, log: Path) -> None:
        """Run the program until it succeeds, and count the rows that are lost or recorded twice."""
        for _ in range(RERUNS):
            with self.running(log) as running:
                code = running.wait(line)
            if code == 0:
                break
            assert code in EARLY, log.read_text()[-2000:]
            self.options = tuple(dict.fromkeys([*self.options, "--retry-failed"]))
        else:
            line.lost += 1
        self.count(line)

    def count(self, line: Line) -> None:
        """Count the rows that are lost, wrong, or recorded twice."""
        found = json.loads(self.call("count_rows", self.output))
        line.twice += found["twice"]
        line.lost += found["lost"]
        line.lost += sum(found["digests"].get(name) != digests for name, digests in self.expected.digests.items())

    def call(self, function: str, *arguments: str) -> bytes:
        """Call a function of this module in a process with the environment of the program. Returns what it prints."""
        code = f"import sys; from tests.torture.program import {function}; {function}(*sys.argv[1:])"
        environment = os.environ | self.environment
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True).stdout


@dataclass
class Running:
    """A running program."""

    process: "subprocess.Popen[bytes]"
    temporary: str

    def wait(self, line: Line, seconds: float = HANG_SECONDS) -> int:
        """Wait for the end of the program, and return its exit code. A program that does not end is a hang."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            line.hangs += 1
            return 1

    def reach(self, state: Callable[[], bool]) -> bool:
        """Wait until a state is reached, or the program has ended. Returns whether the program is still running."""
        end = time.monotonic() + HANG_SECONDS
        while self.process.poll() is None and not state():
            assert time.monotonic() < end
            time.sleep(POLL_SECONDS)
        return self.process.poll() is None

    def workers(self, name: str) -> list[psutil.Process]:
        """Return the processes of Ray whose titles contain a name, such as `ControlMaps`."""
        return [each for each in processes_of(self.temporary) if name in _title(each)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
