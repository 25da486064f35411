"""The lease of an output: of several processes, one writes, and it notices when another one took over."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.errors import InterruptedRunError, LeaseLostError, OutputInUseError, StorageAccessError, StorageError
from pipeline.output import lease as module
from pipeline.output import lease_holder
from pipeline.output.lease import Lease, check_lease, lease_of
from pipeline.output.lease_holder import LeaseHolder

TTL = 0.2
NEVER = 1000.0
ACQUIRE = (
    "import sys; from pipeline.output.lease import Lease; Lease(sys.argv[1], 'convert').acquire(); print(flush=True)"
)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a new output in a local folder, and in a bucket."""
    if request.param == "local":
        return str(tmp_path / "deep" / "out")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}/{os.getpid()}"


@contextmanager
def lease_with(output: str, ttl: float = TTL, renewal: float = NEVER) -> Iterator[Lease]:
    lease = Lease(output, "convert", ttl, renewal)
    try:
        yield lease
    finally:
        lease.release()


def numbers(output: str) -> list[int]:
    """Return the numbers of the lease, the lowest first."""
    names = storage.file_names(f"{output}/_lease")
    return sorted(int(name.removesuffix(".json")) for name in names if name.endswith(".json"))


def holder_of(output: str, number: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read(f"{output}/_lease/{number}.json"))
    return content


def write(output: str, number: int, **changes: Any) -> LeaseHolder:
    """Write a number of the lease for a process on another machine."""
    holder = replace(
        lease_holder.this_process("convert", "run"), **{"host": "elsewhere", "machine": "other", **changes}
    )
    storage.put(f"{output}/_lease/{number}.json", holder.to_json())
    return holder


def wait_for(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


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
    assert list(tmp_path.iterdir()) == []  # new folders are removed, too
    check_lease(output)  # does nothing without a lease


def test_a_lease_is_renewed_until_it_is_released(output: str) -> None:
    with lease_with(output, TTL, renewal=0.01) as lease:
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
        lease.check()
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
    assert storage.names(f"{output}/_lease") == ["notes.txt"]


def test_a_lease_that_was_taken_over_is_lost(output: str) -> None:
    with lease_with(output, ttl=0.0) as lease:  # each check renews
        lease.acquire()
        storage.remove(f"{output}/_lease/1.json")
        write(output, 2)
        with pytest.raises(LeaseLostError, match="elsewhere") as caught:
            check_lease(output)
        assert caught.value.exit_code == 1
        with pytest.raises(LeaseLostError):  # for ever
            check_lease(output)
    assert numbers(output) == [2]


def test_a_lease_that_was_taken_over_and_released_is_lost(output: str) -> None:
    with lease_with(output, ttl=0.0) as lease:
        lease.acquire()
        storage.remove(f"{output}/_lease/1.json")
        with pytest.raises(LeaseLostError):
            lease.check()


def test_a_slow_process_that_creates_a_deleted_number_has_not_acquired_the_lease(output: str) -> None:
    with lease_with(output, NEVER) as slow:
        find, created = slow._free_number, []

        def find_slowly() -> int:
            number = find()
            if not created:  # another process acquires the lease meanwhile, and renews it
                created.append(write(output, 2))
            return number

        slow._free_number = find_slowly  # type: ignore[method-assign] - the delay is real
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.time, "sleep", lambda _seconds: write(output, 3))
            with pytest.raises(OutputInUseError):
                slow.acquire()
    assert 1 not in numbers(output)


def test_a_renewal_whose_answer_was_lost_is_continued(output: str) -> None:
    with lease_with(output, TTL) as lease:
        lease.acquire()
        assert lease._holder
        storage.put(f"{output}/_lease/2.json", lease._holder.to_json())
        lease._renewed -= TTL / 1.5
        lease.check()
        assert numbers(output) == [2]


def test_a_short_outage_is_tolerated_and_a_long_one_loses_the_lease(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        with monkeypatch.context() as outage:

            def fail(_uri: str, _content: bytes) -> bool:
                raise StorageError("no answer")

            outage.setattr(module.storage, "put_new", fail)
            lease._renewed -= 0.7 * NEVER
            lease.check()
            lease._renewed -= 0.7 * NEVER
            with pytest.raises(LeaseLostError, match="no answer"):
                lease.check()
        lease.check()  # the storage answers again, and no other process took over
        assert numbers(output) == [2]


def test_a_signal_interrupts_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_uri: str, _content: bytes) -> bool:
        raise InterruptedRunError("interrupted")

    with lease_with(str(tmp_path), ttl=0.0) as lease:
        lease.acquire()
        monkeypatch.setattr(module.storage, "put_new", interrupt)
        with pytest.raises(InterruptedRunError):
            lease.check()


def test_an_account_that_cannot_delete_files_keeps_the_lease(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_uri: str) -> None:
        raise StorageAccessError("denied")

    with lease_with(output, NEVER) as lease:
        lease.acquire()
        with monkeypatch.context() as denied:
            denied.setattr(module.storage, "remove", fail)
            lease._renewed -= 0.7 * NEVER
            lease.check()
            assert numbers(output) == [1, 2]
            lease.release()
        assert numbers(output) == [1, 2]
        for number in (1, 2):
            storage.remove(f"{output}/_lease/{number}.json")
