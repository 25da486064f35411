"""Choose the resources that Ray reserves for each step, and the sizes of the pools of processes that hold models.

The pools grow from one process to their size while their processes are busy. With GPUs, every GPU has one process that
generates images, and the detectors may use all cores. Without GPUs, a quarter of the cores detects control maps, and
the others generate images, which takes longer. In mode maps without GPUs, all cores detect control maps.

A budget (`--cpus`, `--gpus`, `--memory`) keeps a run from taking all of a cluster that other programs use too.
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources, TaskPoolStrategy

from pipeline.errors import ClusterError
from pipeline.execution.block_statistics import DropBlockStatistics
from pipeline.execution.cluster import logical_cpus
from pipeline.execution.wait_messages import LogWaiting
from pipeline.images.opening import BYTES_PER_PIXEL, DEFAULT_MAX_PIXELS
from pipeline.plan.preflight import RunPlan
from pipeline.steps.chain import Pool
from schemas.options import Options

LOGGER = logging.getLogger("photo2anime.run")

GIB = 2**30
# The share of a core and the memory of one process of each pool. Light steps mostly wait or take little time. With the
# recipe demo, a light process was seen to use 0.3 GiB, and a process that generates images 1.5 GiB. Pools that decode
# photos, control maps or reference images need additional memory for the pixels of one, and `load` for the files of a
# batch.
CPUS: dict[Pool, float] = {"load": 0.5, "light": 0.5, "decode": 1, "control_maps": 1, "gpu": 1}
MEMORY: dict[Pool, int] = {
    "load": GIB, "light": GIB // 2, "decode": GIB, "control_maps": GIB, "gpu": 2 * GIB,
}  # fmt: skip
LIGHT_STEPS = 2  # encode and commit
_PHOTO_POOLS: frozenset[Pool] = frozenset({"load", "decode"})  # they decode photos and masks
CORES_PER_DETECTOR = 4  # without GPUs, one in so many cores detects control maps
DETECTORS_PER_GPU = 8  # allowed in a cluster that will grow, even if it has fewer cores now
# Batches of each process that holds models: one is processed while another is packed and returned, and the next one is
# already sent. With one call at a time, a GPU was busy for 91 % of the time, and with two batches for 97 %.
BATCHES_IN_FLIGHT = 3
CONCURRENT_CALLS = 2
# How often Ray runs the task of a batch whose process ends each time, for example because a decoder crashes.
TASK_ATTEMPTS = 3
FEWEST_CORES = 2  # without GPUs: one for images and one for control maps
BLOCK_BYTES = 2**20  # Ray Data passes on a batch of this size alone, and smaller ones together


@dataclass(frozen=True)
class Budget:
    """The largest resources that a run may use. None is no limit but the size of the cluster.

    Attributes:
        cpus: CPUs that Ray schedules.
        gpus: GPU processes. It may be more than the GPUs of the cluster now, if the cluster will grow.
        memory: Memory of the processes in bytes.
        object_store_memory: Memory in bytes for the rows between the steps.
        max_pixels: The largest number of pixels of a photo to decode, which decides the memory of a process.
    """

    cpus: float | None = None
    gpus: int | None = None
    memory: int | None = None
    object_store_memory: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS

    @classmethod
    def of(cls, options: Options) -> "Budget":
        """Return the budget of a run."""
        # On this machine, Ray schedules more CPUs than there are cores.
        cpus = logical_cpus(options.cpus) if options.cpus and options.address is None else options.cpus
        return cls(cpus, options.gpus, options.memory, options.object_store_memory, options.max_pixels)


@dataclass(frozen=True)
class ClusterResources:
    """The resources that a run may use.

    Attributes:
        cores: The CPU cores, except one that stays free for light steps.
        gpus: The largest number of GPU processes.
        memory: The memory in bytes.
    """

    cores: int
    gpus: int
    memory: int


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

    def one_at_a_time(self) -> "StepResources":
        """Return resources with which each process has one batch, so that no other batch is lost if it ends."""
        by_pool = {pool: dict(arguments) for pool, arguments in self.by_pool.items()}
        for arguments in by_pool.values():
            if isinstance(arguments.get("compute"), ActorPoolStrategy):
                arguments["compute"] = _actors(arguments["compute"].max_size, in_flight=1, calls=1)
        return replace(self, by_pool=by_pool)

    @property
    def metadata(self) -> dict[str, Any]:
        """The sizes of the pools and the detectors on GPUs, for `_run.json`."""
        return {"pools": asdict(self.sizes), "detectors_on_gpu": sorted(self.gpu_detectors)}


def plan_resources(run: RunPlan, options: Options) -> StepResources:
    """Choose the Ray resources of the steps of a run, and configure Ray Data in this process.

    Raises:
        ClusterError: The cluster or the budget is too small.
    """
    budget = Budget.of(options)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if options.address is None and (options.gpus or 0) > gpus:
        raise ClusterError(f"this machine: {gpus} GPUs, but --gpus is {options.gpus}", "Lower or omit --gpus.")
    only_maps = run.recipe.mode == "maps"
    decoding = decoding_pools(run)
    cluster = cluster_resources(budget, decoding, only_maps=only_maps)
    gpu_detectors = run.recipe.gpu_detectors - run.blank if cluster.gpus else frozenset[str]()
    sizes = size_pools(cluster, growing=bool(options.gpus), only_maps=only_maps)
    convert = f", {sizes.convert} for images" if sizes.convert else ""
    LOGGER.info("at most %d process(es) for control maps%s", sizes.control_maps, convert)
    configure_ray_data(budget, verbose=options.verbose)
    return step_resources(cluster, sizes, gpu_detectors, options.max_pixels, decoding)


def decoding_pools(run: RunPlan) -> frozenset[Pool]:
    """Return the pools whose processes decode images of a run, and need memory for the pixels of one image."""
    maps: frozenset[Pool] = frozenset({"control_maps"} if run.has_map_files else ())
    references: frozenset[Pool] = frozenset({"gpu"} if run.recipe.ip_adapter else ())
    return _PHOTO_POOLS | maps | references


def cluster_resources(
    budget: Budget, decoding: frozenset[Pool] = _PHOTO_POOLS, *, only_maps: bool = False
) -> ClusterResources:
    """Return the resources of the connected cluster within a budget.

    Args:
        budget: The budget.
        decoding: The pools whose processes decode images.
        only_maps: Whether the run detects control maps only, without images.

    Raises:
        ClusterError: The cluster or the budget is too small for a run.
    """
    total = ray.cluster_resources()
    cpus = min(total.get("CPU", 0), budget.cpus or float("inf"))
    gpus = budget.gpus if budget.gpus is not None else int(total.get("GPU", 0))
    resources = ClusterResources(int(cpus) - 1, gpus, int(min(total.get("memory", 0), budget.memory or float("inf"))))
    fewest, will_grow = 1 if gpus or only_maps else FEWEST_CORES, bool(budget.gpus) and budget.cpus is None
    if resources.cores < fewest and not will_grow:
        raise ClusterError(
            f"cluster: {cpus:g} CPUs and {gpus} GPUs, but this run needs {fewest + 1} CPUs",
            "Add CPUs, raise --cpus, or set --gpus if the cluster will grow.",
        )
    needed = _needed_memory(budget.max_pixels, decoding, only_maps=only_maps)
    if budget.memory is not None and resources.memory < needed:
        raise ClusterError(
            f"cluster: {resources.memory / GIB:.1f} GiB of memory, but this run needs {needed / GIB:.1f} GiB",
            "Raise --memory.",
        )
    return resources


def size_pools(cluster: ClusterResources, *, growing: bool = False, only_maps: bool = False) -> PoolSizes:
    """Return the sizes of the pools.

    Args:
        cluster: The resources of the cluster.
        growing: Whether the cluster will have more cores than now.
        only_maps: Whether the run detects control maps only, without images.
    """
    if cluster.gpus:
        limit = max(1, cluster.cores)
        return PoolSizes(max(limit, DETECTORS_PER_GPU * cluster.gpus) if growing else limit, cluster.gpus)
    if only_maps:
        return PoolSizes(cluster.cores, 0)
    detectors = max(1, cluster.cores // CORES_PER_DETECTOR)
    return PoolSizes(detectors, cluster.cores - detectors)


def step_resources(
    cluster: ClusterResources,
    sizes: PoolSizes,
    gpu_detectors: frozenset[str],
    max_pixels: int = DEFAULT_MAX_PIXELS,
    decoding: frozenset[Pool] = _PHOTO_POOLS,
) -> StepResources:
    """Return the Ray resources of the steps.

    Memory is reserved only if the cluster has enough for one process of each step. Otherwise the steps would wait for
    each other, and a small machine may still have enough for the photos of a run. Then it decodes one at a time.

    Args:
        cluster: The resources of the cluster.
        sizes: The sizes of the pools.
        gpu_detectors: Detectors that run in the GPU workers.
        max_pixels: The largest number of pixels of a photo to decode.
        decoding: The pools whose processes decode images.
    """
    memory = _pool_memory(max_pixels, decoding)
    by_pool: dict[Pool, dict[str, Any]] = {pool: {"num_cpus": CPUS[pool]} for pool in CPUS}
    if cluster.memory >= _needed_memory(max_pixels, decoding, only_maps=not sizes.convert):
        for pool, arguments in by_pool.items():
            arguments["memory"] = memory[pool]
    else:
        for pool in _PHOTO_POOLS:
            by_pool[pool]["compute"] = TaskPoolStrategy(1)
    sizes_by_pool: dict[Pool, int] = {"control_maps": sizes.control_maps, "gpu": max(1, sizes.convert)}
    for pool, arguments in by_pool.items():
        if pool in sizes_by_pool:
            arguments |= {"compute": _actors(sizes_by_pool[pool]), "max_task_retries": TASK_ATTEMPTS - 1}
        else:
            arguments["max_retries"] = TASK_ATTEMPTS - 1
    if cluster.gpus:
        by_pool["gpu"] |= {"num_gpus": 1, "num_cpus": 0}
    return StepResources(by_pool, gpu_detectors, sizes)


def configure_ray_data(budget: Budget, *, verbose: bool = False) -> None:
    """Set the limits of Ray Data in this process, and whether it shows its progress bars and its log."""
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.target_max_block_size = BLOCK_BYTES
    context.custom_execution_callback_classes = [DropBlockStatistics, LogWaiting]
    # A pool grows while all of its processes have as many batches as they may have.
    context.actor_pool_util_upscaling_threshold = BATCHES_IN_FLIGHT / CONCURRENT_CALLS
    context.execution_options.resource_limits = ExecutionResources(
        cpu=budget.cpus, gpu=budget.gpus, memory=budget.memory, object_store_memory=budget.object_store_memory
    )
    # The log of Ray Data would repeat errors that this project raises as its own.
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)


def _pool_memory(max_pixels: int, decoding: frozenset[Pool]) -> dict[Pool, int]:
    """Return the memory of one process of each pool in bytes."""
    pixels = dict.fromkeys(decoding, max_pixels * BYTES_PER_PIXEL)
    return {pool: memory + pixels.get(pool, 0) for pool, memory in MEMORY.items()}


def _needed_memory(max_pixels: int, decoding: frozenset[Pool], *, only_maps: bool) -> int:
    """Return the memory of one process of each step."""
    memory = _pool_memory(max_pixels, decoding)
    return memory["load"] + LIGHT_STEPS * memory["light"] + memory["control_maps"] + (0 if only_maps else memory["gpu"])


def _actors(max_size: int, in_flight: int = BATCHES_IN_FLIGHT, calls: int = CONCURRENT_CALLS) -> ActorPoolStrategy:
    return ActorPoolStrategy(
        min_size=1,
        max_size=max_size,
        max_tasks_in_flight_per_actor=in_flight,
        max_concurrent_calls_per_actor=calls,
        enable_true_multi_threading=True,  # the model itself runs in one thread, see `ModelStep`
    )
