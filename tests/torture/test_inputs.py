"""Dead, silent and endless servers, pipes and devices, and a full disk, in the whole command line."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output.verify import verify
from tests.records import read_records
from tests.torture.lines import line, long_only
from tests.torture.program import Expected, Program
from tests.torture.test_processes import next_record
from tests.web_server import web_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SERVED = ["silent", "drip", "endless", "bomb", "broken", "missing", "empty", "redirect?to=http://127.0.0.1:9/x"]
LIMITS = ("--fetch-timeout", "6", "--read-timeout", "2", "--connect-timeout", "2", "--max-photo-size", "1MiB",
          "--allow", "private")  # fmt: skip


@long_only
def test_every_hostile_address_is_a_failure_and_every_photo_is_converted(maps: Expected, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with line("hostile addresses, pipes and devices") as added, web_server() as server:
        hostile = [*(f"{server}/{path}" for path in SERVED), str(tmp_path / "pipe"), "/dev/zero", "/", "ftp://x/y"]
        photos = sorted(str(path) for path in maps.photos.iterdir())
        uris = [uri for pair in zip(photos, hostile * 2, strict=True) for uri in pair]
        names = [Path(uri).name if uri in photos else f"hostile{number}" for number, uri in enumerate(uris)]
        pq.write_table(pa.table({"photo_id": names, "uri": uris}), tmp_path / "m.parquet")
        program = Program(maps, str(tmp_path / "out"), str(tmp_path / "m.parquet"), LIMITS)
        with program.running(tmp_path / "log") as running:
            assert running.wait(added) == 3, (tmp_path / "log").read_text()[-2000:]
        added.tries = len(hostile) * 2
        rows = read_records(program.output)
        added.lost += abs(len(rows) - len(uris)) + sum(
            row["status"] != ("failed" if row["photo_id"].startswith("hostile") else "done") for row in rows
        )
        added.lost += not verify(program.output).valid


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system in memory. Skips the test if this is not permitted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the permission to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write a file until no space is left."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@long_only
def test_the_disk_of_the_output_is_full(maps: Expected, tmp_path: Path) -> None:
    with line("full disk of the output") as added, small_disk(tmp_path / "disk", "1m") as disk:
        program, log = Program(maps, str(disk / "out")), tmp_path / "log"
        with program.running(log) as running:
            if running.reach(next_record(program)):
                fill(disk / "filler")
            added.tries += 1
            assert running.wait(added) in {0, 1, 2}, log.read_text()[-2000:]
        (disk / "filler").unlink(missing_ok=True)
        program.finish(added, log)
