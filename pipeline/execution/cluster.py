"""The machines of a run: Ray started in this process or joined at an address."""

import logging
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock, Timeout

from pipeline.errors import StorageError
from pipeline.quiet import silence_stderr

PREFIX = "p2a-"  # of the temporary folders
LONGEST_BASE = 28  # characters of the folder they stand in: a socket's path ends at 107, and Ray takes 77 of them
LOCK = "run.lock"  # held as long as the folder's run lives
CONNECT_SECONDS = 10


@contextmanager
def connect_ray(address: str | None, *, verbose: bool = False) -> Iterator[None]:
    """Join the cluster at `address`, or start Ray in this process with a folder of its own.

    A plain `ray.init()` would join whatever the last killed run left in /tmp/ray. Raises `StorageError` where no
    cluster answers.
    """
    if address is not None:
        _check_answers(address)
    if ray.is_initialized():
        yield  # the caller's own Ray: theirs to stop
        return
    quiet: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.CRITICAL}
    if address is not None:
        with _joined(address, quiet):
            yield
        return
    with _own_folder() as folder:
        own = {"num_cpus": logical_cpus(), "include_dashboard": False, "_temp_dir": folder}
        with _joined("local", own | quiet, hushed=not verbose):
            yield


def _check_answers(address: str) -> None:
    """Raise `StorageError` where nobody listens at `host:port` or `ray://host:port`: Ray would try for minutes."""
    named = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if not named:
        return
    try:
        socket.create_connection((named.group(1), int(named.group(2))), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        message = f"no Ray at {address!r}: {error}"
        raise StorageError(message, "Check --address, or leave it out to run on this machine.") from error


@contextmanager
def _joined(address: str, settings: dict[str, Any], *, hushed: bool = False) -> Iterator[None]:
    try:
        try:
            with _signals_kept(), silence_stderr() if hushed else nullcontext():
                ray.init(address=address, **settings)
        except (OSError, ValueError, RuntimeError) as error:
            message = f"no Ray at {address!r}: {error}"
            raise StorageError(message, "Check --address, or leave it out to run on this machine.") from error
        yield
    finally:
        ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put the caller's SIGTERM handler back, which `ray.init` replaces by one that exits at once."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, kept)


@contextmanager
def _own_folder() -> Iterator[str]:
    """Give Ray a temporary folder, and remove those of runs that were killed: they may hold gigabytes of pixels."""
    usual = tempfile.gettempdir()
    base = usual if len(usual) <= LONGEST_BASE else "/tmp"  # noqa: S108 - mkdtemp below makes a folder of our own in it
    for stale in Path(base).glob(f"{PREFIX}*/{LOCK}"):
        try:
            with FileLock(stale, timeout=0):
                shutil.rmtree(stale.parent, ignore_errors=True)
        except (Timeout, OSError):
            continue  # its run is alive, or it is not ours
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    with FileLock(Path(folder) / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def logical_cpus() -> int:
    """Return the cores that an embedded Ray deals out: two more than there are.

    Light steps mostly wait, and control maps take a small part of a picture's time: neither should idle a core.
    """
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2) + 2
