"""Start Ray in this process, or connect to a Ray cluster."""

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

from pipeline.errors import ClusterError
from pipeline.quiet import silence_stderr

LOGGER = logging.getLogger("photo2anime.cluster")

PREFIX = "p2a-"  # of the temporary folders
# Characters of the parent of the temporary folder: the path of a socket has at most 107, of which Ray uses up to 77.
LONGEST_PARENT = 28
LOCK = "run.lock"  # held while the run that owns the folder is alive
CONNECT_SECONDS = 10


@contextmanager
def connect_ray(address: str | None, *, verbose: bool = False) -> Iterator[None]:
    """Connect to a Ray cluster, or start Ray in this process with a temporary folder of its own.

    A plain `ray.init()` would connect to what the last killed run left in /tmp/ray. If this process is connected
    already, that connection is used, and stays open.

    Args:
        address: Address of a cluster, or None for this machine.
        verbose: Whether Ray writes its own log.

    Raises:
        ClusterError: No cluster answers at the address, or Ray cannot start.
    """
    if address is not None:
        _check_address(address)
    if ray.is_initialized():
        yield
        return
    log: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.CRITICAL}
    if address is not None:
        with _initialized(address, log):
            yield
        return
    with _temporary_folder() as folder:
        settings = {"num_cpus": logical_cpus(), "include_dashboard": False, "_temp_dir": folder}
        with _initialized("local", settings | log, silent=not verbose):
            yield


def logical_cpus() -> int:
    """Return the CPUs that Ray assumes on this machine: two more than it has.

    Light steps mostly wait, and control maps take a small part of the time of an image, so that neither should occupy
    a core.
    """
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2) + 2


def _check_address(address: str) -> None:
    """Raise `ClusterError` if nothing listens at a host and port. Ray itself would retry for minutes."""
    match = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if not match:
        return
    try:
        socket.create_connection((match.group(1), int(match.group(2))), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"Ray at {address!r}: {error}") from error


@contextmanager
def _initialized(address: str, settings: dict[str, Any], *, silent: bool = False) -> Iterator[None]:
    try:
        try:
            with _signal_handler_kept(), silence_stderr() if silent else nullcontext():
                ray.init(address=address, **settings)
        except Exception as error:  # Ray raises Exception itself if a node does not start in time
            raise ClusterError(f"Ray at {address!r}: {error}") from error
        LOGGER.debug("connected to Ray at %s with %s", address, ray.cluster_resources())
        yield
    finally:
        ray.shutdown()


@contextmanager
def _signal_handler_kept() -> Iterator[None]:
    """Restore the caller's SIGTERM handler, which `ray.init` replaces with one that exits at once."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """Create a temporary folder for Ray, and remove those of killed runs, which may have gigabytes of pixels."""
    default = tempfile.gettempdir()
    parent = default if len(default) <= LONGEST_PARENT else "/tmp"  # noqa: S108 - mkdtemp creates a private folder in it
    for stale in Path(parent).glob(f"{PREFIX}*/{LOCK}"):
        try:
            with FileLock(stale, timeout=0):
                shutil.rmtree(stale.parent, ignore_errors=True)
                LOGGER.debug("removed the temporary folder of a killed run: %s", stale.parent)
        except (Timeout, OSError):
            continue  # its run is alive, or another user owns it
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    with FileLock(Path(folder) / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
