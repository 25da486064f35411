"""How many processes each step gets, and what Ray reserves for them.

The sizes follow from the milliseconds of each step that `pipeline.execution.calibrate` measured on photos of the run:
with a GPU the GPU is the slowest step, and without one no core waits for another. Without a measurement, for little
work, they follow from fixed ratios.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.errors import ClusterError
from pipeline.steps.chain import Pool

LIGHT_CPUS = 0.25  # cores that Ray reserves for a light step, which waits or takes little compared to an image
CORES_PER_DETECTOR_ACTOR = 4  # without a GPU and a measurement: an image takes longer than its control maps
DETECTOR_ACTORS_PER_GPU = 8  # without a measurement, for a cluster that will grow
DETECTOR_HEADROOM = 1.25  # speed of the detectors relative to the GPU, so that the GPU never waits for maps
UNITS_IN_FLIGHT = 2  # units handed to an actor: it works on one while the next one is transferred
FEWEST_CORES = 2  # without a GPU: one for images and one for control maps
WHOLE_UNIT: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}  # a step receives whole units

Milliseconds: TypeAlias = dict[str, float]
"""Milliseconds of one photo on one core, or in one GPU process, by stage (`schemas.row_parts.STAGES`)."""


@dataclass(frozen=True)
class ClusterResources:
    """The resources of a cluster.

    Attributes:
        cores: Cores, without one that stays free for light steps.
        gpus: GPU processes to start.
    """

    cores: int
    gpus: int


@dataclass(frozen=True)
class PoolSizes:
    """The number of processes that detect control maps, and of those that convert photos."""

    control_maps: int
    convert: int


@dataclass(frozen=True)
class StepResources:
    """What the steps run on.

    Attributes:
        by_pool: Keyword arguments of Ray Data's `map_batches` for each pool of the chain.
        gpu_detectors: Detectors that run in the GPU workers.
        sizes: The sizes of the pools.
    """

    by_pool: dict[Pool, dict[str, Any]]
    gpu_detectors: frozenset[str]
    sizes: PoolSizes


def cluster_resources(gpus: int | None = None) -> ClusterResources:
    """Return the resources of the connected cluster.

    Args:
        gpus: GPU processes to start, for a cluster that will grow. Defaults to the GPUs that the cluster has now.

    Raises:
        ClusterError: The cluster is too small for a run.
    """
    total = ray.cluster_resources()
    found = ClusterResources(int(total.get("CPU", 0)) - 1, gpus if gpus is not None else int(total.get("GPU", 0)))
    if not found.gpus and found.cores < FEWEST_CORES:
        raise ClusterError(
            f"cluster: {found.cores + 1} CPUs and no GPU, but a run needs 3 CPUs",
            "Add CPUs, or set --gpus if the cluster will grow.",
        )
    return found


def size_pools(
    cluster: ClusterResources, measured: Milliseconds | None, *, growing: bool = False, only_maps: bool = False
) -> PoolSizes:
    """Return the sizes of the pools.

    Args:
        cluster: The resources of the cluster.
        measured: Milliseconds by stage, or None without a measurement.
        growing: Whether the cluster will have more cores than now.
        only_maps: Whether the run detects control maps and converts nothing.
    """
    if cluster.gpus:
        most = max(1, cluster.cores)
        if growing:
            most = max(most, DETECTOR_ACTORS_PER_GPU * cluster.gpus)
        return PoolSizes(min(most, _to_feed(cluster.gpus, measured)) if measured else most, cluster.gpus)
    if only_maps:
        return PoolSizes(cluster.cores, 0)
    if not measured:
        detectors = max(1, cluster.cores // CORES_PER_DETECTOR_ACTOR)
        return PoolSizes(detectors, cluster.cores - detectors)
    sizes = (PoolSizes(count, cluster.cores - count) for count in range(1, cluster.cores))
    return max(sizes, key=lambda each: _throughput(each, measured))


def step_resources(
    cluster: ClusterResources,
    sizes: PoolSizes,
    gpu_detectors: frozenset[str],
    longest_unit: int,
    *,
    verbose: bool = False,
) -> StepResources:
    """Return what the steps run on, and configure Ray Data for this process.

    Args:
        cluster: The resources of the cluster.
        sizes: The sizes of the pools.
        gpu_detectors: Detectors that run in the GPU workers.
        longest_unit: Rows of the longest unit.
        verbose: Whether Ray shows its own progress and log.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = None  # never split a unit, however large its pixels are
    # Errors of Ray Data reach the user as errors of this project.
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)
    # Ray Data requires a batch size for tasks on a GPU. On a CPU each process has one thread, so that the number of
    # cores does not change the images.
    device = {"num_gpus": 1, "num_cpus": 0, "batch_size": longest_unit} if cluster.gpus else {"num_cpus": 1}
    by_pool: dict[Pool, dict[str, Any]] = {
        "light": {"num_cpus": LIGHT_CPUS, **WHOLE_UNIT},
        "decode": {"num_cpus": 1, **WHOLE_UNIT},
        "control_maps": {"compute": _actors(sizes.control_maps), "num_cpus": 1, **WHOLE_UNIT},
        "gpu": {"compute": _actors(max(1, sizes.convert)), **WHOLE_UNIT, **device},
    }
    return StepResources(by_pool, gpu_detectors, sizes)


def _to_feed(gpus: int, measured: Milliseconds) -> int:
    """Return how many cores must detect control maps so that the GPUs never wait."""
    return max(1, math.ceil(DETECTOR_HEADROOM * gpus * measured["controls"] / max(measured["convert"], 1e-3)))


def _throughput(sizes: PoolSizes, measured: Milliseconds) -> tuple[float, int]:
    """Return the photos per millisecond of these pools. Among equal ones, fewer detector processes are better."""
    maps = sizes.control_maps / max(measured["controls"], 1e-3)
    return min(maps, sizes.convert / max(measured["convert"], 1e-3)), -sizes.control_maps


def _actors(most: int) -> ActorPoolStrategy:
    return ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=UNITS_IN_FLIGHT)
