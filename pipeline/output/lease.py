"""The lease of an output: one process at a time writes to it.

The files `_lease/<number>.json` are only created, never replaced, and storages create a file for one of several
processes only. The highest number is the lease, and its content describes the holder. To renew a lease, the holder
creates the next number and deletes its last one. To take over a lease whose holder has ended, another process creates
the next number. A slow process may create a number that the holder has already deleted, or one above those of a later
lease. Every process therefore lists the numbers again after it created one: it has lost if a higher one exists, or one
that it has not seen before.

No clocks of different machines are compared. A lease has expired if another process sees no new number for `TTL`
seconds. A holder that ran on the same machine is known to have ended at once.
"""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline import storage
from pipeline.errors import (
    DiskFullError,
    InterruptedRunError,
    LeaseLostError,
    OutputInUseError,
    RayEndedError,
    StorageError,
)
from pipeline.output import lease_holder
from pipeline.output.lease_holder import LeaseHolder, lost_error

LOGGER = logging.getLogger("photo2anime.output")

FOLDER = "_lease"
TTL = 60.0  # seconds after which a lease expires that is not renewed
RENEWAL = 15.0  # seconds between renewals
# Seconds after which a renewal gives up. Two renewals begin and end before the lease expires.
_LONGEST_RENEWAL = 15.0
_LONGEST_RELEASE = 10.0  # seconds after which the end of a run no longer waits for the storage
_POLLS = 60  # requests of a process that waits for a lease to expire
_FILE = re.compile(r"(\d+)\.json")

_held: dict[str, "Lease"] = {}  # the leases of this process, by the addresses of their outputs


def check_lease(output: str) -> None:
    """Check that this process still has its lease of an output, before it writes to the output.

    Does nothing if the process has not acquired a lease of the output.

    Raises:
        LeaseLostError: Another process has the lease, or it could not be renewed in time.
    """
    lease = _held.get(storage.absolute(output))
    if lease is not None:
        lease.check()


@contextmanager
def lease_of(output: str, command: str) -> Iterator["Lease"]:
    """Open the lease of an output, and release it at the end. It is not acquired yet.

    Args:
        output: The address of the output.
        command: The command, which is shown to users of other processes.
    """
    lease = Lease(output, command)
    try:
        yield lease
    finally:
        lease.release()


class Lease:
    """The lease of an output. After it was acquired, a thread renews it until it is released.

    Args:
        output: The address of the output.
        command: The command of the holder, such as `convert`.
        ttl: The seconds after which the lease expires if it is not renewed.
        renewal: The seconds between renewals.

    Attributes:
        output: The absolute address of the output.
    """

    def __init__(self, output: str, command: str, ttl: float = TTL, renewal: float = RENEWAL) -> None:
        self.output, self._command = storage.absolute(output), command
        self._ttl, self._renewal = ttl, renewal
        self._holder: LeaseHolder | None = None
        self._number = 0
        self._seen = frozenset[int]()  # the numbers of the last listing
        self._renewed = 0.0  # the time of `_now` at which the last successful renewal began
        self._failure = ""  # why the last renewal failed
        self._new_folders: list[Path] = []
        self._is_lost = False
        self._renewing = threading.Lock()
        self._released = threading.Event()

    def acquire(self, run_id: str | None = None) -> bool:
        """Acquire the lease, unless this object has it. Waits for the lease of an ended process to expire.

        Returns whether the lease was acquired: False if this object had it before.

        Raises:
            OutputInUseError: Another process writes to the output.
            StorageAccessError: The output cannot be written.
            DiskFullError: The disk is full.
        """
        if self._number:
            return False
        self._new_folders = _new_folders(self.output)
        self._holder = lease_holder.this_process(self._command, run_id)
        with storage.write_access_reported(self.output):
            while not self._create(self._free_number() + 1):
                pass
        _held[self.output] = self
        storage.remove_partial_files(storage.join(self.output, FOLDER))  # of killed processes
        threading.Thread(target=self._keep_renewing, name="lease", daemon=True).start()
        return True

    def check(self) -> None:
        """Check that the lease is not lost. Renews it if the last renewal is old, as after a suspension.

        Raises:
            LeaseLostError: Another process has the lease, or it could not be renewed in time.
        """
        if not self._is_lost and _now() - self._renewed > self._ttl / 2:
            self._renew()
        if self._is_lost:
            raise lost_error(self.output, self._successor())
        if _now() - self._renewed > self._ttl:
            output = storage.redact(self.output)
            raise LeaseLostError(f"{output}: the lease could not be renewed for {self._ttl:.0f} s ({self._failure})")

    def release(self) -> None:
        """Delete the lease, so that another process can acquire it at once, and the folders that it created, if empty.

        If this fails, or takes longer than `_LONGEST_RELEASE`, the lease expires. Errors are logged at level debug.
        """
        self._released.set()
        if _held.get(self.output) is self:
            del _held[self.output]
        with storage.time_limit(_LONGEST_RELEASE), _acquired(self._renewing) as is_acquired:
            if self._holder is None or not is_acquired:
                return
            try:
                for number in self._numbers():
                    other = self._read(number)
                    if other is not None and other.holder == self._holder.holder:
                        storage.remove(self._uri(number))
            except (StorageError, DiskFullError) as error:
                LOGGER.debug("%s", error)
            self._number, self._holder = 0, None
        with suppress(OSError):  # of the first folder that is not empty
            for folder in self._new_folders:
                folder.rmdir()

    @property
    def identifier(self) -> str | None:
        """The identifier of the holder. None if the lease is not acquired."""
        return self._holder.holder if self._holder else None

    def current(self) -> LeaseHolder | None:
        """Return the process that has the lease now, which may be another one. None if no process has it."""
        return self._read(self._highest())

    def _keep_renewing(self) -> None:
        while not self._released.wait(self._renewal) and not self._is_lost:
            self._renew()

    def _renew(self) -> None:
        """Renew the lease. Sets `_is_lost` if another process has it, and `_failure` if a request fails."""
        with storage.time_limit(_LONGEST_RENEWAL), _acquired(self._renewing) as is_acquired:
            if not is_acquired or self._released.is_set() or self._is_lost:
                return
            try:
                numbers = self._numbers()
                # The last number is missing if another process took over, and has already finished.
                self._is_lost = self._number not in numbers or not self._create(self._number + 1)
            except (InterruptedRunError, RayEndedError):
                raise  # raised by a signal handler, and not an error of the storage
            except Exception as error:  # noqa: BLE001 - `check` reports any error if the lease expires
                self._failure = storage.redact_message(f"{error}")

    def _create(self, number: int) -> bool:
        """Create a number. Returns whether it is the highest one, which makes it the lease."""
        holder, begin = self._holder, _now()
        if holder is None:  # released
            return False
        storage.put_new(self._uri(number), holder.to_json())
        # The file is read in any case: an earlier attempt of the request may have succeeded, and a server that ignores
        # the condition of the request may have let two processes write the file.
        written = self._read(number)
        if written is None or written.holder != holder.holder:
            return False
        seen, numbers = self._seen, self._numbers()
        others = [each for each in numbers if each != number]
        # The last number may have disappeared since it was listed, as in `_renew`.
        is_continued = not self._number or self._number in others
        if not is_continued or max(others, default=0) > number or not seen.issuperset(others):
            self._remove([number])
            return False
        self._number, self._renewed = number, begin
        self._remove([each for each in numbers if each < number])
        return True

    def _free_number(self) -> int:
        """Return the highest number, whose holder has ended, or 0 if there is none. Waits for a lease to expire.

        Raises:
            OutputInUseError: The holder has not ended.
        """
        number = self._highest()
        holder = self._read(number)
        if not number or (holder and holder.has_ended):
            return number
        if holder and holder.is_on_this_machine:
            raise self._in_use(holder)
        output, name = storage.redact(self.output), holder or "another process"
        LOGGER.info("%s: waiting up to %.0f s to see whether it is in use by %s", output, self._ttl, name)
        begin = _now()
        while _now() - begin < self._ttl:
            time.sleep(self._ttl / _POLLS)
            current = self._highest()
            if not current:
                return 0
            if current != number:
                raise self._in_use(self._read(current))
        if self._read(number) != holder:
            raise self._in_use(self._read(number))
        return number

    def _successor(self) -> LeaseHolder | None:
        """Return the process that took over, if it still has the lease."""
        with suppress(StorageError):
            return self.current()
        return None

    def _in_use(self, holder: LeaseHolder | None) -> OutputInUseError:
        return OutputInUseError(f"{storage.redact(self.output)}: in use by {holder or 'another process'}")

    def _read(self, number: int) -> LeaseHolder | None:
        """Return the holder of a number. Returns None if the file does not exist, or is invalid."""
        content = storage.read_if_exists(self._uri(number)) if number else None
        return None if content is None else lease_holder.from_json(content)

    def _remove(self, numbers: list[int]) -> None:
        """Delete numbers that are no longer needed. Errors are ignored: an account may only be allowed to write."""
        try:
            for number in numbers:
                storage.remove(self._uri(number))
        except StorageError as error:
            LOGGER.debug("%s", error)

    def _highest(self) -> int:
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        names = storage.file_names(storage.join(self.output, FOLDER))
        numbers = [int(match[1]) for match in map(_FILE.fullmatch, names) if match]
        self._seen = frozenset(numbers)
        return numbers

    def _uri(self, number: int) -> str:
        return storage.join(self.output, FOLDER, f"{number}.json")


@contextmanager
def _acquired(lock: threading.Lock) -> Iterator[bool]:
    """Acquire a lock, and release it at the end. Yields whether it was acquired within the time limit of requests."""
    is_acquired = lock.acquire(timeout=storage.remaining_seconds())
    try:
        yield is_acquired
    finally:
        if is_acquired:
            lock.release()


def _new_folders(output: str) -> list[Path]:
    """Return the local folder of the lease, and its parents that do not exist yet. Other storages have no folders."""
    folder = storage.local_path(storage.join(output, FOLDER))
    return [] if folder is None else [folder, *(parent for parent in folder.parents if not parent.exists())]


def _now() -> float:
    """Return the time in seconds of a clock that continues while the machine is suspended, if there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
