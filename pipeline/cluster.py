"""The machines of a run: Ray started in this process or joined at an address, and who does what on it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.faults import StorageFault

LIGHT_CPUS = 0.25  # of a core for a step that mostly waits: fetching, decoding, encoding, writing
UNITS_AT_ONCE = 2  # handed to an actor: one in work, one on its way


@dataclass(frozen=True)
class Crew:
    """What each step runs on: keyword arguments of Ray Data's `map_batches`."""

    light: dict[str, Any]
    control_maps: dict[str, Any]
    converters: dict[str, Any]


@contextmanager
def connected(address: str | None, *, verbose: bool = False) -> Iterator[None]:
    """Join the cluster at `address`, or start Ray in this process with a folder of its own, and leave it behind clean.

    A plain `ray.init()` would join whatever the last killed run left in /tmp/ray.
    """
    if ray.is_initialized():
        yield  # the caller's own Ray: theirs to stop
        return
    quiet: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    folder = None
    if address is None:
        folder = tempfile.mkdtemp(prefix="p2a-")  # short: Ray's socket paths end at 107 characters
        own = {"num_cpus": logical_cpus(), "include_dashboard": False, "_temp_dir": folder}
        quiet |= own
    try:
        try:
            ray.init(address=address or "local", **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            message = f"no Ray cluster at {address}: {error}"
            raise StorageFault(message, "Check --address, or leave it out to run on this machine.") from error
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def logical_cpus() -> int:
    """Return the cores that an embedded Ray deals out: one more than there are, since its light steps mostly wait."""
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2) + 1


def assemble(unit_rows: int, gpus: int | None = None, *, verbose: bool = False) -> Crew:
    """Return the crew for the cluster that this process is connected to.

    `unit_rows` is the length of the longest unit; `gpus` how many converters to start, where the cluster's count is
    not the last word (it may grow from none). Without a GPU the converters are CPU actors.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = None  # never split a unit, whatever the size of its pixels
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.ERROR)
    resources = ray.cluster_resources()
    converters = gpus if gpus is not None else int(resources.get("GPU", 0))
    cpus = max(1, int(resources.get("CPU", 1)))
    on_cpu = max(1, cpus - 2)  # of the cores, for the one converter of a machine without a GPU
    pools = {"control_maps": _pool(1, max(1, cpus - 1 if converters else cpus // 2)), "converters": _pool(1, max(1, converters))}
    device = {"num_gpus": 1, "batch_size": unit_rows} if converters else {"num_cpus": on_cpu, "batch_size": None}
    return Crew(
        light={"num_cpus": LIGHT_CPUS},
        control_maps={"compute": pools["control_maps"], "num_cpus": 1},
        converters={"compute": pools["converters"], **device},
    )


def _pool(least: int, most: int) -> ActorPoolStrategy:
    return ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=UNITS_AT_ONCE)
