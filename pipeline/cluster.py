"""The machines of a run: Ray started in this process or joined at an address, and who does what on it."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock, Timeout
from ray.data import ActorPoolStrategy, DataContext

from pipeline.faults import StorageFault

PREFIX = "p2a-"  # of the temporary folders
LONGEST_BASE = 28  # characters of the folder they stand in: a socket's path ends at 107, and Ray takes 77 of them
LOCK = "run.lock"  # held as long as the folder's run lives
CONNECT_SECONDS = 10
LIGHT_CPUS = 0.25  # of a core for a step that mostly waits: fetching, decoding, encoding, writing
CORES_PER_DRAWER = 4  # without a GPU: a picture takes longer than its control maps
DRAWERS_PER_GPU = 8  # actors for control maps, where a cluster is to grow to a number of GPUs
WHOLE_UNIT: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}  # a step gets units, never parts
UNITS_AT_ONCE = 2  # handed to an actor: one in work, one on its way


@dataclass(frozen=True)
class Crew:
    """What each step runs on: keyword arguments of Ray Data's `map_batches`."""

    light: dict[str, Any]
    control_maps: dict[str, Any]
    converters: dict[str, Any]


@contextmanager
def connected(address: str | None, *, verbose: bool = False) -> Iterator[None]:
    """Join the cluster at `address`, or start Ray in this process with a folder of its own.

    A plain `ray.init()` would join whatever the last killed run left in /tmp/ray. Raises `StorageFault` where no
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
    """Raise `StorageFault` where nobody listens at `host:port` or `ray://host:port`: Ray would try for minutes."""
    named = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if not named:
        return
    try:
        socket.create_connection((named.group(1), int(named.group(2))), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        message = f"no Ray at {address!r}: {error}"
        raise StorageFault(message, "Check --address, or leave it out to run on this machine.") from error


@contextmanager
def _joined(address: str, settings: dict[str, Any], *, hushed: bool = False) -> Iterator[None]:
    try:
        try:
            with _signals_kept(), _hushed() if hushed else nullcontext():
                ray.init(address=address, **settings)
        except (OSError, ValueError, RuntimeError) as error:
            message = f"no Ray at {address!r}: {error}"
            raise StorageFault(message, "Check --address, or leave it out to run on this machine.") from error
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
def _hushed() -> Iterator[None]:
    """Send what compiled code writes to standard error nowhere: Ray says there that it was told to be quiet."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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


def assemble(unit_rows: int, gpus: int | None = None, *, verbose: bool = False) -> Crew:
    """Return the crew for the cluster that this process is connected to.

    `unit_rows` is the length of the longest unit; `gpus` how many converters to start, where the cluster's count is
    not the last word (it may grow from none). Without a GPU the converters are CPU actors.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = None  # never split a unit, whatever the size of its pixels
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)  # errors come as faults
    resources = ray.cluster_resources()
    converters = gpus if gpus is not None else int(resources.get("GPU", 0))
    cores = int(resources.get("CPU", 0)) - 1  # one CPU stays for the light steps
    if converters:
        # A number of rows, not None: Ray Data insists on one with a GPU.
        device: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0, "batch_size": unit_rows}
        drawers = max(1, cores, DRAWERS_PER_GPU * (gpus or 0))
    else:
        if cores < 2:  # noqa: PLR2004 - a converter and a drawer of control maps
            message = f"the cluster has {cores + 1} CPUs and no GPU: a run needs 3 CPUs"
            raise StorageFault(message, "Add some; or, where the cluster grows, say by --gpus to how many GPUs.")
        drawers = max(1, cores // CORES_PER_DRAWER)
        converters = cores - drawers  # of one thread each: so the number of cores does not show in the pictures
        device = {"num_cpus": 1}
    return Crew(
        light={"num_cpus": LIGHT_CPUS, **WHOLE_UNIT},
        control_maps={"compute": _pool(1, drawers), "num_cpus": 1, **WHOLE_UNIT},
        converters={"compute": _pool(1, converters), **WHOLE_UNIT, **device},
    )


def _pool(least: int, most: int) -> ActorPoolStrategy:
    return ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=UNITS_AT_ONCE)
