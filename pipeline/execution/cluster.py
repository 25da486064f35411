"""Start Ray on this machine, or connect to a Ray cluster."""

import logging
import os
import re
import resource
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray._private import services

from pipeline.errors import ClusterError, RunError
from pipeline.execution.local_raylet import local_raylet, raylet_watched
from pipeline.execution.ray_errors import describe_ray_error
from pipeline.quiet import silence_stderr
from pipeline.storage.temporary import temporary_folder

LOGGER = logging.getLogger("photo2anime.cluster")

PREFIX = "p2a-"  # prefix of the names of temporary folders
# Maximum length of the path of the parent folder. The path of a Unix socket has at most 107 characters. The name of the
# temporary folder and the names that Ray adds have up to 77, which leaves 30. Two are a reserve.
LONGEST_PARENT = 28
CONNECT_SECONDS = 10
# How often Ray repeats a task that it ended to free memory. By default, a photo that needs too much memory is retried
# for ever. The machines of a cluster need the environment variable RAY_task_oom_retries instead.
OOM_RETRIES = 2
START_ATTEMPTS = 2  # on a loaded machine, the processes of Ray may not start in time
LEAST_OPEN_FILES = 256  # of a process; with 64, Ray does not start in time, or its raylet ends during the run
_START_HINT = "Run the command again when the machine is less busy, or with --verbose to see the log of Ray."


@contextmanager
def connect_ray(
    address: str | None,
    cpus: float | None = None,
    object_store_memory: int | None = None,
    *,
    verbose: bool = False,
) -> Iterator[None]:
    """Connect to a Ray cluster, or start Ray on this machine with a separate temporary folder.

    With the default folder /tmp/ray, `ray.init()` may find the cluster of a killed run and connect to it. If this
    process is already connected to Ray, the existing connection is used and stays open.

    Args:
        address: Address of a cluster. None starts Ray on this machine.
        cpus: The number of cores to use, if Ray is started here.
        object_store_memory: The memory of the object store in bytes, if it is started here.
        verbose: Whether to show the log of Ray.

    Raises:
        ClusterError: The cluster cannot be reached, or Ray cannot start.
        RayEndedError: Ray was started on this machine, and ended in the context.
    """
    if address is not None:
        _check_address(address)
    if ray.is_initialized():
        yield
        return
    log_settings: dict[str, Any] = {
        "log_to_driver": verbose,
        "logging_level": logging.INFO if verbose else logging.CRITICAL,
    }
    if address is not None:
        with _messages_hidden(verbose=verbose), _initialize_ray(address, log_settings, verbose=verbose):
            yield
        return
    _check_open_files()
    with temporary_folder(PREFIX, _parent_folder()) as folder:
        settings: dict[str, Any] = {
            "num_cpus": logical_cpus(cpus),
            "include_dashboard": False,
            "_temp_dir": str(folder),
            "_system_config": {"task_oom_retries": OOM_RETRIES},
        }
        settings |= {"object_store_memory": object_store_memory} if object_store_memory else {}
        with (
            _messages_hidden(verbose=verbose),
            _initialize_ray("local", settings | log_settings, verbose=verbose),
            raylet_watched(local_raylet()),
        ):
            yield


@contextmanager
def _messages_hidden(*, verbose: bool) -> Iterator[None]:
    """Hide the messages of Ray about ended processes and repeated tasks, which do not depend on `log_to_driver`."""
    worker = ray._private.worker  # noqa: SLF001 - Ray has no option for it
    before, worker._worker_logs_enabled = worker._worker_logs_enabled, verbose  # noqa: SLF001
    try:
        yield
    finally:
        worker._worker_logs_enabled = before  # noqa: SLF001


def logical_cpus(cores: float | None = None) -> int:
    """Return the number of CPUs that Ray schedules on this machine, for a number of cores, or for all: two more.

    The two additional CPUs are for the light steps, which mostly wait, and for control maps, which take a small part of
    the time of an image. All cores can therefore generate images.
    """
    available = max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2)
    return min(available, int(cores or available)) + 2


def _check_open_files() -> None:
    """Raise `ClusterError` if the limit of open files for a process is too low for Ray."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # up to which Ray raises the limit of this process
    if limit != resource.RLIM_INFINITY and limit < LEAST_OPEN_FILES:
        hint = f"Raise the hard limit of open files to {LEAST_OPEN_FILES} or more, see ulimit -n."
        raise ClusterError(f"Ray on this machine: a process may open {limit} files only", hint)


def _check_address(address: str) -> None:
    """Raise `ClusterError` if a host and port do not accept connections. Ray would retry for minutes.

    `auto` is the address in RAY_ADDRESS, or that of the cluster that was last started on this machine.
    """
    found = services.get_ray_address_from_environment(address, None) or address
    match = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", found)
    if not match:
        return
    try:
        socket.create_connection((match.group(1), int(match.group(2))), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"Ray at {found!r}: {error}") from error


@contextmanager
def _initialize_ray(address: str, settings: dict[str, Any], *, verbose: bool) -> Iterator[None]:
    try:
        _start(address, settings, verbose=verbose)
        LOGGER.debug("connected to Ray at %s with %s", address, ray.cluster_resources())
        yield
    finally:
        ray.shutdown()


def _start(address: str, settings: dict[str, Any], *, verbose: bool) -> None:
    """Call `ray.init`. A Ray that does not start on this machine is started once more."""
    for attempt in range(START_ATTEMPTS):
        try:
            with _signal_handler_kept(), nullcontext() if verbose else silence_stderr():
                ray.init(address=address, **settings)
        except RunError:  # of a signal
            raise
        except Exception as error:  # Ray raises a plain Exception if a node does not start in time
            ray.shutdown()
            if address == "local" and attempt < START_ATTEMPTS - 1:
                LOGGER.info("Ray did not start in time; starting it once more")
                LOGGER.debug("%s", describe_ray_error(error))
                continue
            where, hint = (f"Ray at {address!r}", None) if address != "local" else ("Ray on this machine", _START_HINT)
            raise ClusterError(f"{where}: {describe_ray_error(error)}", hint) from error
        return


@contextmanager
def _signal_handler_kept() -> Iterator[None]:
    """Restore the SIGTERM handler after `ray.init`, which replaces it with one that exits immediately.

    Meanwhile, SIGHUP is blocked. The processes of Ray inherit this, so that a closed terminal does not end them before
    this process has stopped the run.
    """
    handler = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _parent_folder() -> str:
    """Return the folder for Ray's temporary folder: the default one, unless its path is too long."""
    default = tempfile.gettempdir()
    return default if len(default) <= LONGEST_PARENT else "/tmp"  # noqa: S108 - a private folder is created in it
