"""A run that is refused writes nothing, and one that is stopped says why. `tests/test_flow.py` tests whole runs."""

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import run, storage
from pipeline.errors import (
    ClusterError,
    DiskFullError,
    InterruptedRunError,
    OutputError,
    OutputInUseError,
    RunStoppedError,
    StorageAccessError,
)
from pipeline.execution import cluster
from pipeline.execution.progress import RunProgress
from pipeline.output.lease import Lease, lease_of
from pipeline.output.verify import verify
from pipeline.run import convert
from schemas.options import Options
from schemas.recipe import Recipe
from tests.conftest import ROOT, TINY
from tests.local_run import RecordedProgress, convert_locally
from tests.records import read_records

COMPETITOR = f"""
import sys
from jobs.app import run_command
from pipeline.execution.progress import RunProgress
from pipeline.recipes.load import load_recipe
from schemas.options import Options
from tests.local_run import convert_locally

class Waiting(RunProgress):
    def begin(self, images):
        sys.stdin.readline()  # until the other processes have ended

manifest, output, unit_size = sys.argv[1:]
recipe = load_recipe("demo", {TINY!r})
print("ready", flush=True)
sys.stdin.readline()
run_command(lambda: convert_locally(manifest, output, recipe, Options(unit_size=int(unit_size)), Waiting()))
"""


class Stopped(RunProgress):
    """Raises an error as soon as a batch is finished."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def advance(self, done: int, failed: int) -> None:
        del done, failed
        raise self._error


@pytest.fixture
def maps(recipe: Recipe) -> Recipe:
    """Return a recipe without models, whose runs take milliseconds."""
    return recipe.model_copy(update={"mode": "maps"})


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if Ray is started."""

    def connect(*_arguments: object, **_options: object) -> None:
        pytest.fail("Ray was started")

    monkeypatch.setattr(cluster, "connect_ray", connect)


def run_file(output: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read(f"{output}/_run.json"))
    return content


@contextmanager
def denied_writes(bucket: str, *folders: str) -> Iterator[None]:
    """Let a bucket deny all writes to some folders."""
    import boto3

    name, client = bucket.removeprefix("s3://"), boto3.client("s3")
    resources = [f"arn:aws:s3:::{name}/{folder}/*" for folder in folders]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": resources}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        yield
    finally:
        client.delete_bucket_policy(Bucket=name)


def test_an_unavailable_cluster_is_refused_before_anything_is_written(
    photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    progress = RecordedProgress()
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1") as caught:
        convert(str(photos), str(tmp_path / "out"), recipe, Options(address="127.0.0.1:1"), progress)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    assert not progress.begun


def test_an_output_that_cannot_be_written_is_refused(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, _content: bytes) -> None:
        raise OutputError(f"{uri}: no space left")

    monkeypatch.setattr(run.storage, "put", full)
    with pytest.raises(OutputError) as caught:
        convert_locally(str(photos), str(tmp_path / "out"), recipe)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("no_ray")
def test_a_storage_that_cannot_be_written_is_refused_before_ray_starts(
    bucket: str, photos: Path, maps: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    local, remote = str(tmp_path / "file" / "folder"), f"{bucket}/denied"
    with denied_writes(bucket, "denied"):
        for unwritable in (local, remote):
            with pytest.raises(StorageAccessError) as caught:
                convert(str(photos), unwritable, maps)
            assert caught.value.exit_code == 2
            assert str(caught.value).startswith(f"{unwritable}: cannot be written")
            with pytest.raises(StorageAccessError):
                convert(str(photos), str(tmp_path / "out"), maps, Options(map_cache=unwritable))
            compiled = maps.model_copy(update={"compile": "on"})
            with pytest.raises(StorageAccessError):
                convert(str(photos), str(tmp_path / "out"), compiled, Options(compile_cache=unwritable))
    assert not (tmp_path / "out").exists()
    assert storage.file_names(remote) == []


@pytest.mark.usefixtures("no_ray")
def test_a_full_disk_is_refused_before_ray_starts(
    photos: Path, maps: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fsync = tmp_path / "out", os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(out):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError) as caught:
        convert(str(photos), str(out), maps)
    assert caught.value.exit_code == 2
    assert not out.exists()


def test_lost_permissions_stop_the_run_and_the_same_call_continues_it(
    bucket: str, photos: Path, maps: Recipe, tmp_path: Path
) -> None:
    folder = f"{tmp_path.name}/out"
    output = f"{bucket}/{folder}"

    class Denied(RunProgress):
        def advance(self, done: int, failed: int) -> None:
            del done, failed
            stack.enter_context(denied_writes(bucket, folder))

    with ExitStack() as stack:
        with pytest.raises(RunStoppedError) as caught:
            convert_locally(str(photos), output, maps, Options(unit_size=3), Denied())
        assert "access denied" in str(caught.value)
    assert run_file(output)["status"] == "running"  # it could not be written
    assert convert_locally(str(photos), output, maps, Options(unit_size=3)).earlier == 3
    assert verify(output).valid


def caused_by(error: Exception) -> SystemError:
    """Return the error by which compiled code replaces the error of a signal handler."""
    replaced = SystemError("returned a result with an exception set")
    replaced.__cause__ = error
    return replaced


@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (RunStoppedError("ended"), RunStoppedError, "run.stopped"),
        (InterruptedRunError("interrupted"), InterruptedRunError, "run.interrupted"),
        (caused_by(InterruptedRunError("interrupted")), InterruptedRunError, "run.interrupted"),
        (DiskFullError("out: full"), RunStoppedError, "output.disk_full"),
        (ZeroDivisionError("https://u:secret@host/x?sig=secret\nsecond line"), ZeroDivisionError, "run.stopped"),
    ],
)
def test_the_run_file_says_why_a_run_stopped(
    photos: Path, maps: Recipe, tmp_path: Path, error: Exception, raised: type[Exception], code: str
) -> None:
    with pytest.raises(raised):
        convert_locally(str(photos), str(tmp_path), maps, Options(unit_size=3), Stopped(error))
    content = run_file(tmp_path)
    assert (content["status"], content["rows"], content["error"]["code"]) == ("stopped", 12, code)
    assert str(error.__cause__ or error).partition(" ")[0].partition("u:")[0] in content["error"]["message"]
    assert "secret" not in content["error"]["message"]
    assert "\n" not in content["error"]["message"]
    assert convert_locally(str(photos), str(tmp_path), maps).earlier == 3
    assert run_file(tmp_path)["status"] == "finished"


def test_an_output_that_another_process_uses_is_refused_and_not_changed(
    photos: Path, maps: Recipe, tmp_path: Path
) -> None:
    with lease_of(str(tmp_path / "out"), "verify --repair") as lease:
        lease.acquire()
        with pytest.raises(OutputInUseError, match="verify --repair"):
            convert_locally(str(photos), str(tmp_path / "out"), maps)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["_lease"]
    convert_locally(str(photos), str(tmp_path / "out"), maps)
    assert not (tmp_path / "out" / "_lease").exists()


def test_a_run_plans_again_if_another_one_finished_before_it_acquired_the_lease(
    photos: Path, maps: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, acquire = str(tmp_path / "out"), Lease.acquire

    def acquire_later(lease: Lease, run_id: str | None = None) -> bool:
        with monkeypatch.context() as other:
            other.setattr(Lease, "acquire", acquire)
            if not Path(output).exists():
                convert_locally(str(photos), output, maps, Options(unit_size=3))
        return acquire(lease, run_id)

    monkeypatch.setattr(Lease, "acquire", acquire_later)
    summary = convert_locally(str(photos), output, maps, Options(unit_size=5))
    assert (summary.converted, summary.earlier) == (0, 12)
    assert {row["run_id"] for row in read_records(output)} == {summary.run_id}
    assert verify(output).valid


@pytest.mark.slow
def test_of_five_runs_that_start_together_one_converts_and_four_are_refused(photos: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    program = [sys.executable, "-c", COMPETITOR, str(photos), output]
    processes = [
        subprocess.Popen([*program, str(size)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
        for size in range(1, 6)
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("start\n")
            process.stdin.flush()
        refused = []
        while len(refused) < 4:
            refused = [process for process in processes if process.poll() is not None]
            time.sleep(0.05)
        (winner,) = set(processes) - set(refused)
        _, log = winner.communicate("continue\n")
        assert winner.returncode == 0, log
        errors = [process.communicate()[1] for process in refused]
        assert [process.returncode for process in refused] == [2] * 4, errors
        assert all(OutputInUseError.code in error for error in errors)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert Counter(row["photo_id"] for row in read_records(output)) == {f"p{number:03d}.jpg": 1 for number in range(12)}
    assert verify(output).valid
