"""Who does what on the machines of a run: how many processes each step gets.

The numbers follow from milliseconds that were measured on photos of this very run (`pipeline.execution.calibrate`), so
that with a GPU the GPU is the slowest of all, and without one no core waits for another; or, for little work, from
experience.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.errors import StorageError

LIGHT_CPUS = 0.25  # of a core for a step that waits, or takes little beside a picture: all but maps and pictures
CORES_PER_DETECTOR_ACTOR = 4  # without a GPU or a measurement: a picture takes longer than its control maps
DETECTOR_ACTORS_PER_GPU = 8  # without a measurement, where a cluster is to grow to a number of GPUs
DETECTOR_HEADROOM = 1.25  # so much faster than the GPU the control maps are to be: a GPU must never wait for them
WHOLE_UNIT: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}  # a step gets units, never parts
UNITS_IN_FLIGHT = 2  # handed to an actor: one in work, one on its way

Milliseconds = dict[str, float]
"""Of one photo on one core, or in one process with a GPU, by `schemas.work.STAGES`."""


@dataclass(frozen=True)
class ClusterResources:
    """What a cluster has: `cores` but for one that stays for light steps; `gpus` is how many converters to start."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class PoolSizes:
    """How many processes draw control maps, and how many convert."""

    drawers: int
    converters: int


@dataclass(frozen=True)
class StepResources:
    """What each step runs on: keyword arguments of Ray Data's `map_batches`; and the detectors that a GPU draws."""

    light: dict[str, Any]
    control_maps: dict[str, Any]
    converters: dict[str, Any]
    on_gpu: frozenset[str]
    pools: PoolSizes


def cluster_resources(gpus: int | None = None) -> ClusterResources:
    """Return what the cluster has that this process is connected to.

    `gpus` is how many converters to start, where the cluster's count is not the last word: it may grow from none.
    Raises `StorageError` where it is too small for a run.
    """
    resources = ray.cluster_resources()
    found = ClusterResources(
        int(resources.get("CPU", 0)) - 1, gpus if gpus is not None else int(resources.get("GPU", 0))
    )
    if not found.gpus and found.cores < 2:  # noqa: PLR2004 - a converter and a drawer of control maps
        message = f"the cluster has {found.cores + 1} CPUs and no GPU: a run needs 3 CPUs"
        raise StorageError(message, "Add some; or, where the cluster grows, say by --gpus to how many GPUs.")
    return found


def size_pools(
    there: ClusterResources, spent: Milliseconds | None, *, growing: bool = False, maps_alone: bool = False
) -> PoolSizes:
    """Return the pools' sizes. `spent` was measured; None: nothing was. `growing`: there will be more cores than now.

    `maps_alone`: nothing is converted.
    """
    if there.gpus:
        most = max(1, there.cores) if not growing else max(1, there.cores, DETECTOR_ACTORS_PER_GPU * there.gpus)
        return PoolSizes(min(most, _to_keep_busy(there.gpus, spent)) if spent else most, there.gpus)
    if maps_alone:
        return PoolSizes(there.cores, 0)
    if not spent:
        drawers = max(1, there.cores // CORES_PER_DETECTOR_ACTOR)
        return PoolSizes(drawers, there.cores - drawers)
    return max((PoolSizes(n, there.cores - n) for n in range(1, there.cores)), key=lambda pools: _pace(pools, spent))


def step_resources(
    unit_rows: int, there: ClusterResources, pools: PoolSizes, on_gpu: frozenset[str], *, verbose: bool = False
) -> StepResources:
    """Return the crew; `unit_rows` is the length of the longest unit, `on_gpu` names what joins the converter there."""
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = None  # never split a unit, whatever the size of its pixels
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)  # errors come as faults
    # On a GPU a number of rows, not None: Ray Data insists on one. On a CPU one thread each: so the number of cores
    # does not show in the pictures.
    device = {"num_gpus": 1, "num_cpus": 0, "batch_size": unit_rows} if there.gpus else {"num_cpus": 1}
    return StepResources(
        light={"num_cpus": LIGHT_CPUS, **WHOLE_UNIT},
        control_maps={"compute": _pool(pools.drawers), "num_cpus": 1, **WHOLE_UNIT},
        converters={"compute": _pool(max(1, pools.converters)), **WHOLE_UNIT, **device},
        on_gpu=on_gpu,
        pools=pools,
    )


def _to_keep_busy(gpus: int, spent: Milliseconds) -> int:
    """Return how many cores must draw control maps so that the GPUs never wait."""
    return max(1, math.ceil(DETECTOR_HEADROOM * gpus * spent["controls"] / max(spent["convert"], 1e-3)))


def _pace(pools: PoolSizes, spent: Milliseconds) -> tuple[float, int]:
    """Return the photos per millisecond that these pools let through; of equals, fewer drawers are better."""
    drawn = pools.drawers / max(spent["controls"], 1e-3)
    return min(drawn, pools.converters / max(spent["convert"], 1e-3)), -pools.drawers


def _pool(most: int) -> ActorPoolStrategy:
    return ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=UNITS_IN_FLIGHT)
