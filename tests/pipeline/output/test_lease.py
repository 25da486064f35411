"""The lease of an output: of several processes, one writes."""

import itertools
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.errors import OutputInUseError, StorageAccessError
from pipeline.output import lease as module
from pipeline.output import lease_holder
from pipeline.output.lease import Lease, check_lease, lease_of
from tests.leases import NEVER, holder_of, lease_with, numbers, wait_for, write

ACQUIRE = (
    "import sys; from pipeline.output.lease import Lease; Lease(sys.argv[1], 'convert').acquire(); print(flush=True)"
)


def test_a_lease_describes_its_holder_and_is_deleted_when_it_is_released(output: str, tmp_path: Path) -> None:
    with lease_of(output, "maps") as lease:
        assert numbers(output) == []
        assert lease.acquire("run-1")
        assert not lease.acquire("run-2")
        content = holder_of(output, 1)
        assert (content["command"], content["run_id"], content["pid"]) == ("maps", "run-1", os.getpid())
        assert content["host"]
        assert content["user"]
        check_lease(output)
    assert numbers(output) == []
    assert list(tmp_path.iterdir()) == []  # the folders are removed, too
    check_lease(output)  # does nothing without a lease


def test_a_lease_is_renewed_until_it_is_released(output: str) -> None:
    with lease_with(output, NEVER, renewal=0.01) as lease:
        lease.acquire()
        wait_for(lambda: max(numbers(output)) > 3)
        lease.check()
        wait_for(lambda: len(numbers(output)) == 1)
    assert numbers(output) == []


def test_a_live_process_of_this_machine_is_not_waited_for(output: str) -> None:
    with lease_with(output, NEVER) as lease, lease_with(output, NEVER) as other:
        lease.acquire()
        with pytest.raises(OutputInUseError) as caught:
            other.acquire()
        assert str(os.getpid()) in str(caught.value)
        assert caught.value.exit_code == 2
        other.release()
        assert numbers(output) == [1]
        lease.check()


def test_of_five_threads_that_start_together_one_acquires_the_lease(output: str) -> None:
    barrier = threading.Barrier(5)

    def acquire(lease: Lease) -> bool:
        barrier.wait()
        try:
            return lease.acquire()
        except OutputInUseError:
            return False

    leases = [Lease(output, "convert", NEVER, NEVER) for _ in range(5)]
    with ThreadPoolExecutor(5) as threads:
        assert sum(threads.map(acquire, leases)) == 1
    assert len(numbers(output)) == 1
    for lease in leases:
        lease.release()
    assert numbers(output) == []


@pytest.mark.slow
def test_of_five_processes_that_start_together_one_acquires_the_lease(output: str) -> None:
    code = f"{ACQUIRE}; sys.stdin.read()"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, output], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
        for _ in range(5)
    ]  # fmt: skip
    acquired = [process.stdout.readline() != b"" for process in processes if process.stdout]
    errors = [process.communicate()[1].decode() for process in processes]
    assert sum(acquired) == 1
    assert sum("OutputInUseError" in error for error in errors) == 4


def test_a_lease_that_is_not_renewed_expires(output: str, caplog: pytest.LogCaptureFixture) -> None:
    write(output, 7)
    with lease_with(output) as lease, caplog.at_level("INFO", "photo2anime.output"):
        lease.acquire()
        assert numbers(output) == [8]
    messages = [record.getMessage() for record in caplog.records if record.name == "photo2anime.output"]
    assert ["elsewhere" in message for message in messages] == [True]


def test_a_lease_that_is_renewed_does_not_expire(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(output, 1)
    refused = threading.Event()

    def renew() -> None:
        for number in itertools.count(1):
            if refused.wait(0.05):
                return
            write(output, number + 1)
            storage.remove(f"{output}/_lease/{number}.json")

    monkeypatch.setattr(module, "_POLLS", 1e5)  # one request each hundredth of a second
    with lease_with(output, NEVER) as lease, ThreadPoolExecutor(1) as threads:
        renewing = threads.submit(renew)
        with pytest.raises(OutputInUseError, match="elsewhere"):
            lease.acquire()
        refused.set()
        renewing.result()
    assert len(numbers(output)) == 1


def test_a_released_lease_is_acquired_while_another_run_waits(output: str) -> None:
    write(output, 7)
    with lease_with(output, NEVER) as lease, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", lambda _seconds: storage.remove(f"{output}/_lease/7.json"))
        lease.acquire()
        assert numbers(output) == [1]


def test_a_number_that_another_process_used_again_is_not_expired(output: str) -> None:
    write(output, 1)
    with lease_with(output) as lease, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", lambda _seconds: write(output, 1, host="third"))
        with pytest.raises(OutputInUseError, match="third"):
            lease.acquire()


def test_invalid_content_expires(output: str) -> None:
    storage.put(f"{output}/_lease/3.json", b"text")
    storage.put(f"{output}/_lease/notes.txt", b"text")
    with lease_with(output) as lease:
        lease.acquire()
        assert storage.names(f"{output}/_lease") == ["4.json", "notes.txt"]


@pytest.mark.parametrize(
    "change",
    [
        {"pid": "1"},
        {"pid": None},
        {"pid": 0},
        {"pid": -1},
        {"pid": 2**70},
        {"pid": True},
        {"process_start": "x"},
        {"machine": 3},
        {"host": []},
    ],
)
def test_content_with_other_types_is_invalid(change: dict[str, Any]) -> None:
    content = json.loads(lease_holder.this_process("convert", None).to_json())
    assert lease_holder.from_json(json.dumps(content).encode())
    assert lease_holder.from_json(json.dumps(content | change).encode()) is None


def test_an_output_that_cannot_be_written_is_an_access_error(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "file").touch()
    for output in (str(tmp_path / "file" / "out"), f"{bucket}-none/out"):
        with lease_with(output) as lease, pytest.raises(StorageAccessError):
            lease.acquire()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
