"""A run killed at five random moments, and started again each time, ends like one that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.output import plan_store, provenance
from pipeline.output.verify import verify
from pipeline.run import convert
from schemas.options import Options
from schemas.recipe import Recipe
from tests.conftest import NO_GPU, TINY, write_crops

PHOTOS, KILLS, UNIT = 75, 5, 3


def command(photos: Path, output: Path) -> list[str]:
    settings = [part for setting in TINY for part in ("--set", setting)]
    convert = "from jobs.app import main; main()"
    return [sys.executable, "-c", convert, "convert", str(photos), "--output", str(output), "--recipe", "demo",
            "--unit-size", str(UNIT), *settings]  # fmt: skip


@contextmanager
def running(photos: Path, output: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run in a temporary folder of its own, and leave none of its processes behind."""
    with tempfile.TemporaryDirectory(prefix="kill-") as temporary, log.open("ab") as sink:
        environment = os.environ | NO_GPU | {"TMPDIR": temporary}
        process = subprocess.Popen(command(photos, output), stdout=sink, stderr=sink, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for member in processes_naming(temporary):
                member.kill()


def processes_naming(folder: str) -> list[psutil.Process]:
    """Return the processes of a run's Ray: they name its temporary folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if folder in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def wait_for_records(output: Path, process: subprocess.Popen[bytes], wanted: int) -> None:
    while process.poll() is None and len(provenance.done_units(str(output))) < wanted:
        time.sleep(0.02)


def rows_of(output: Path) -> list[dict[str, Any]]:
    return provenance.read_records(str(output), provenance.done_units(str(output))).to_pylist()


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_session")
def test_killed_five_times_nothing_is_lost_and_nothing_twice(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    photos, output, log = tmp_path / "photos", tmp_path / "out", tmp_path / "log"
    photos.mkdir()
    write_crops(data, photos, PHOTOS)
    seed = random.randrange(2**32)  # noqa: S311 - new moments each time: that is the test
    print(f"moments of seed {seed}")  # noqa: T201 - shown when the test fails, to do it again
    moments = random.Random(seed)  # noqa: S311 - likewise
    recorded: dict[str, str] = {}  # digests by key, of all that was recorded so far
    for kill in range(KILLS):
        with running(photos, output, log) as process:
            if kill % 2:  # while it works, a moment after some more records
                wait_for_records(output, process, len(provenance.done_units(str(output))) + moments.randint(1, 4))
                time.sleep(moments.uniform(0, 0.5))
            else:  # while it starts, or soon after
                time.sleep(moments.uniform(0, 15))
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGKILL)
        now = {row["key"]: row["sha256"] for row in rows_of(output)}
        assert recorded.items() <= now.items()  # what was recorded stays
        recorded = now
    with running(photos, output, log) as process:
        assert process.wait(timeout=120) == 0, log.read_text()
    rows = rows_of(output)
    assert Counter(row["key"] for row in rows) == Counter(plan_store.read_plans(str(output))["key"].to_pylist())
    assert len(rows) == PHOTOS
    assert verify(str(output)).sound
    undisturbed = tmp_path / "undisturbed"
    convert(str(photos), str(undisturbed), recipe, Options(unit_size=UNIT))
    assert {row["uri"]: row["sha256"] for row in rows} == {row["uri"]: row["sha256"] for row in rows_of(undisturbed)}
