"""Size the actor pools of the steps, and choose the resources that Ray reserves for each step.

The sizes are computed from the times that `pipeline.execution.calibrate` measures on photos of the run. With GPUs, the
detectors get as many cores as they need to keep the GPUs busy. Without GPUs, the cores are divided between detectors
and the diffusion model so that the throughput is highest. Small runs are not measured. Their detectors get all cores of
a cluster with GPUs, and a quarter of the cores of a cluster without GPUs. In mode maps without GPUs, they always get
all cores.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import ray
from ray.data import ActorPoolStrategy, DataContext

from pipeline.errors import ClusterError
from pipeline.steps.chain import Pool

LIGHT_CPUS = 0.25  # cores that Ray reserves for a light step, which mostly waits or takes little time
# Without GPUs and without a measurement, one in CORES_PER_DETECTOR_ACTOR cores detects control maps. The others
# generate images, which takes longer.
CORES_PER_DETECTOR_ACTOR = 4
DETECTOR_ACTORS_PER_GPU = 8  # allowed in a cluster that will grow, even if it has fewer cores now
DETECTOR_HEADROOM = 1.25  # throughput of the detectors relative to that of the GPUs, so that no GPU waits for maps
BATCHES_IN_FLIGHT = 2  # batches per actor: one is processed while the next is transferred
FEWEST_CORES = 2  # without GPUs: one for images and one for control maps
BLOCK_BYTES = 2**20  # Ray Data passes on a batch of this size alone, and smaller ones together

Milliseconds: TypeAlias = dict[str, float]
"""Milliseconds per photo by stage (`schemas.row_parts.STAGES`), measured on one core or in one GPU process."""


@dataclass(frozen=True)
class ClusterResources:
    """The resources of a cluster.

    Attributes:
        cores: The CPU cores, except one that stays free for light steps.
        gpus: The largest number of GPU processes.
    """

    cores: int
    gpus: int


@dataclass(frozen=True)
class PoolSizes:
    """The sizes of the two pools that hold models.

    Attributes:
        control_maps: The largest number of processes that detect control maps.
        convert: The largest number of processes that generate images.
    """

    control_maps: int
    convert: int


@dataclass(frozen=True)
class StepResources:
    """The Ray resources of the steps.

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
        gpus: The largest number of GPU processes, for a cluster that will grow. Defaults to the GPUs of the cluster.

    Raises:
        ClusterError: The cluster is too small for a run.
    """
    total = ray.cluster_resources()
    resources = ClusterResources(int(total.get("CPU", 0)) - 1, gpus if gpus is not None else int(total.get("GPU", 0)))
    if not resources.gpus and resources.cores < FEWEST_CORES:
        raise ClusterError(
            f"cluster: {resources.cores + 1} CPUs and no GPU, but a run needs {FEWEST_CORES + 1} CPUs",
            "Add CPUs, or set --gpus if the cluster will grow.",
        )
    return resources


def size_pools(
    cluster: ClusterResources, measured: Milliseconds | None, *, growing: bool = False, only_maps: bool = False
) -> PoolSizes:
    """Return the sizes of the pools.

    Args:
        cluster: The resources of the cluster.
        measured: Milliseconds by stage, or None without a measurement.
        growing: Whether the cluster will have more cores than now.
        only_maps: Whether the run detects control maps only, without images.
    """
    if cluster.gpus:
        limit = max(1, cluster.cores)
        if growing:
            limit = max(limit, DETECTOR_ACTORS_PER_GPU * cluster.gpus)
        return PoolSizes(min(limit, _detectors_for_gpus(cluster.gpus, measured)) if measured else limit, cluster.gpus)
    if only_maps:
        return PoolSizes(cluster.cores, 0)
    if not measured:
        detectors = max(1, cluster.cores // CORES_PER_DETECTOR_ACTOR)
        return PoolSizes(detectors, cluster.cores - detectors)
    sizes = (PoolSizes(count, cluster.cores - count) for count in range(1, cluster.cores))
    return max(sizes, key=lambda pool_sizes: _throughput(pool_sizes, measured))


def step_resources(
    cluster: ClusterResources,
    sizes: PoolSizes,
    gpu_detectors: frozenset[str],
    *,
    verbose: bool = False,
) -> StepResources:
    """Return the Ray resources of the steps, and configure Ray Data in this process.

    Args:
        cluster: The resources of the cluster.
        sizes: The sizes of the pools.
        gpu_detectors: Detectors that run in the GPU workers.
        verbose: Whether Ray Data shows its progress bars and its log.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = BLOCK_BYTES
    # The log of Ray Data would repeat errors that this project raises as its own.
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)
    # On a CPU, each process uses one thread, so that the images do not depend on the number of cores.
    device = {"num_gpus": 1, "num_cpus": 0} if cluster.gpus else {"num_cpus": 1}
    by_pool: dict[Pool, dict[str, Any]] = {
        "light": {"num_cpus": LIGHT_CPUS},
        "decode": {"num_cpus": 1},
        "control_maps": {"compute": _actors(sizes.control_maps), "num_cpus": 1},
        "gpu": {"compute": _actors(max(1, sizes.convert)), **device},
    }
    return StepResources(by_pool, gpu_detectors, sizes)


def _detectors_for_gpus(gpus: int, measured: Milliseconds) -> int:
    """Return the number of cores that must detect control maps so that no GPU waits for them."""
    return max(1, math.ceil(DETECTOR_HEADROOM * gpus * measured["controls"] / max(measured["convert"], 1e-3)))


def _throughput(sizes: PoolSizes, measured: Milliseconds) -> tuple[float, int]:
    """Return a sort key for pool sizes: first more photos per millisecond, then fewer detector processes."""
    maps = sizes.control_maps / max(measured["controls"], 1e-3)
    return min(maps, sizes.convert / max(measured["convert"], 1e-3)), -sizes.control_maps


def _actors(max_size: int) -> ActorPoolStrategy:
    return ActorPoolStrategy(min_size=1, max_size=max_size, max_tasks_in_flight_per_actor=BATCHES_IN_FLIGHT)
