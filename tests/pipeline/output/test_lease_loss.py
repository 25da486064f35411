"""A process notices when another one took over its lease, or won against it."""

import socket
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import InterruptedRunError, LeaseLostError, OutputInUseError, StorageAccessError, StorageError
from pipeline.output import lease as module
from pipeline.output.lease import check_lease
from pipeline.output.lease_check import check_holder
from tests.leases import NEVER, lease_with, numbers, write


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
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        storage.remove(f"{output}/_lease/1.json")
        lease._renewed -= 0.7 * NEVER
        with pytest.raises(LeaseLostError, match="deleted"):
            lease.check()
        with pytest.raises(LeaseLostError, match="deleted"):
            check_holder(output, str(lease.identifier))


def test_a_lease_that_is_taken_over_and_released_during_a_renewal_is_lost(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        put_new = storage.put_new

        def put_late(uri: str, content: bytes) -> bool:
            storage.remove(f"{output}/_lease/1.json")  # another process took over, and finished
            return put_new(uri, content)

        monkeypatch.setattr(module.storage, "put_new", put_late)
        lease._renewed -= 0.7 * NEVER
        with pytest.raises(LeaseLostError):
            lease.check()
        assert numbers(output) == []


def test_a_number_below_that_of_another_process_does_not_win(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        put_new = storage.put_new

        def put_between(uri: str, content: bytes) -> bool:
            write(output, 3)
            lease._seen |= {3}
            return put_new(uri, content)

        monkeypatch.setattr(module.storage, "put_new", put_between)
        lease._renewed -= 0.7 * NEVER
        with pytest.raises(LeaseLostError, match="elsewhere"):
            lease.check()


def test_a_process_whose_file_was_replaced_has_not_acquired_the_lease(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_new = storage.put_new

    def put_twice(uri: str, content: bytes) -> bool:
        put_new(uri, content)
        write(output, 1)  # on a server that ignores the condition of the request
        return True

    with lease_with(output, NEVER) as lease, monkeypatch.context() as ignored:
        ignored.setattr(module.storage, "put_new", put_twice)
        ignored.setattr(module.time, "sleep", lambda _seconds: write(output, 2))
        with pytest.raises(OutputInUseError):
            lease.acquire()


def test_another_process_of_a_run_notices_that_its_lease_was_taken_over(output: str) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        assert lease.identifier
        check_holder(output, lease.identifier)
        lease._renewed -= 0.7 * NEVER
        lease.check()
        check_holder(output, lease.identifier)
        write(output, 3)
        with pytest.raises(LeaseLostError, match="elsewhere"):
            check_holder(output, lease.identifier)
        storage.remove(f"{output}/_lease/3.json")
        storage.remove(f"{output}/_lease/2.json")
        with pytest.raises(LeaseLostError):
            check_holder(output, lease.identifier)


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


def test_a_slow_process_that_takes_over_an_old_lease_does_not_win_over_a_new_one(output: str) -> None:
    write(output, 5, host=socket.gethostname(), machine=None)
    with lease_with(output, NEVER) as slow:
        find, created = slow._free_number, []

        def find_slowly() -> int:
            if created:
                return find()
            assert slow._numbers() == [5]
            storage.remove(f"{output}/_lease/5.json")  # another process took over and finished, and a third one began
            created.append(write(output, 1))
            return 5

        slow._free_number = find_slowly  # type: ignore[method-assign] - the delay is real
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.time, "sleep", lambda _seconds: write(output, 2))
            with pytest.raises(OutputInUseError):
                slow.acquire()
    assert 6 not in numbers(output)


def test_a_renewal_whose_answer_was_lost_is_continued(output: str) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        assert lease._holder
        storage.put(f"{output}/_lease/2.json", lease._holder.to_json())
        lease._renewed -= 0.7 * NEVER
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


def test_the_end_of_a_lease_does_not_wait_for_a_renewal(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_RELEASE", 0.01)
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        with lease._renewing:  # as a renewal whose request is not answered
            lease.release()
        assert output not in module._held
        assert numbers(output) == [1]  # it expires


def test_a_check_does_not_wait_for_a_renewal_longer_than_its_limit(output: str) -> None:
    with lease_with(output, NEVER) as lease:
        lease.acquire()
        lease._renewed -= 0.7 * NEVER
        with lease._renewing, storage.time_limit(0.01):
            lease.check()
        assert numbers(output) == [1]


def test_a_renewal_gives_up_before_the_lease_expires(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_new, limits = storage.put_new, []

    def put(uri: str, content: bytes) -> bool:
        limits.append(storage.remaining_seconds())
        return put_new(uri, content)

    with lease_with(output, NEVER) as lease:
        lease.acquire()
        monkeypatch.setattr(module.storage, "put_new", put)
        lease._renewed -= 0.7 * NEVER
        lease.check()
    assert max(limits) <= module.TTL - 3 * module.RENEWAL
