"""Pool sizes and resources: within the cluster and the budget of a run."""

from dataclasses import replace

import pytest
from ray.data import DataContext

from pipeline.errors import ClusterError
from pipeline.execution import pools
from pipeline.execution.pools import GIB, Budget, ClusterResources, PoolSizes, size_pools
from pipeline.images.opening import BYTES_PER_PIXEL
from pipeline.steps.chain import Pool
from schemas.options import Options


@pytest.mark.parametrize(
    ("cores", "gpus", "growing", "expected"),
    [
        # A machine of two cores: the project starts Ray with four CPUs, and one of them stays free.
        (3, 0, False, PoolSizes(1, 2)),
        (17, 0, False, PoolSizes(4, 13)),
        (7, 1, False, PoolSizes(7, 1)),
        (0, 1, False, PoolSizes(1, 1)),
        (1, 2, True, PoolSizes(16, 2)),
    ],
)
def test_pools_have_fixed_ratios(cores: int, gpus: int, *, growing: bool, expected: PoolSizes) -> None:
    assert size_pools(ClusterResources(cores, gpus, GIB), growing=growing) == expected


def test_a_run_of_maps_only_uses_every_core() -> None:
    assert size_pools(ClusterResources(5, 0, GIB), only_maps=True) == PoolSizes(5, 0)


@pytest.mark.parametrize(("gpus", "device"), [(1, {"num_gpus": 1, "num_cpus": 0}), (0, {"num_cpus": 1})])
def test_each_pool_has_its_resources(gpus: int, device: dict[str, int]) -> None:
    cluster = ClusterResources(5, gpus, 100 * GIB)
    resources = pools.step_resources(cluster, PoolSizes(2, 3), frozenset({"depth"}))
    by_pool = resources.by_pool
    assert by_pool["gpu"]["compute"].max_size == 3
    assert {name: by_pool["gpu"][name] for name in device} == device
    assert by_pool["control_maps"]["compute"].max_size == 2
    light = {"num_cpus": pools.CPUS["light"], "memory": pools.MEMORY["light"], "max_retries": pools.TASK_ATTEMPTS - 1}
    assert by_pool["light"] == light
    assert by_pool["gpu"]["max_task_retries"] == pools.TASK_ATTEMPTS - 1
    assert resources.metadata == {"pools": {"control_maps": 2, "convert": 3}, "detectors_on_gpu": ["depth"]}


def test_lost_rows_are_processed_one_at_a_time() -> None:
    resources = pools.step_resources(ClusterResources(5, 1, 100 * GIB), PoolSizes(2, 3), frozenset())
    alone = resources.one_at_a_time().by_pool
    assert [alone[name]["compute"].max_tasks_in_flight_per_actor for name in ("gpu", "control_maps")] == [1, 1]
    assert resources.by_pool["gpu"]["compute"].max_tasks_in_flight_per_actor == pools.BATCHES_IN_FLIGHT


def test_a_small_cluster_reserves_no_memory() -> None:
    resources = pools.step_resources(ClusterResources(3, 0, 2 * GIB), PoolSizes(1, 1), frozenset())
    assert not any("memory" in each for each in resources.by_pool.values())
    assert resources.by_pool["load"]["compute"].size == 1


def test_the_memory_for_decoding_grows_with_the_allowed_pixels() -> None:
    small, large = (
        pools.step_resources(ClusterResources(5, 0, 100 * GIB), PoolSizes(1, 1), frozenset(), pixels).by_pool
        for pixels in (10**6, 10**8)
    )
    assert large["load"]["memory"] - small["load"]["memory"] == 99 * 10**6 * BYTES_PER_PIXEL
    assert large["light"] == small["light"]


def test_pools_that_decode_maps_and_references_have_memory_for_their_pixels() -> None:
    cluster, decoding = ClusterResources(5, 0, 100 * GIB), frozenset[Pool]({"load", "decode", "control_maps", "gpu"})
    photos = pools.step_resources(cluster, PoolSizes(1, 1), frozenset(), 10**8).by_pool
    every = pools.step_resources(cluster, PoolSizes(1, 1), frozenset(), 10**8, decoding).by_pool
    added = {pool: every[pool]["memory"] - photos[pool]["memory"] for pool in every}
    pixels = 10**8 * BYTES_PER_PIXEL
    assert added == {"load": 0, "light": 0, "decode": 0, "control_maps": pixels, "gpu": pixels}


def test_options_become_a_budget() -> None:
    options = Options.model_validate({"cpus": 2.5, "gpus": 3, "memory": "16GB", "object_store_memory": "4GiB"})
    here = Budget.of(options)
    assert here == Budget(4, 3, 16 * 10**9, 4 * GIB)  # Ray schedules two CPUs more than the cores of this machine
    assert Budget.of(options.model_copy(update={"address": "auto"})) == replace(here, cpus=2.5)


def test_ray_data_is_limited_to_the_budget() -> None:
    with DataContext.current(DataContext.get_current().copy()):
        pools.configure_ray_data(Budget(cpus=4, memory=8 * GIB))
        limits = DataContext.get_current().execution_options.resource_limits
        assert (limits.cpu, limits.memory) == (4, 8 * GIB)
        assert limits.gpu == float("inf")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_one_core_stays_free_for_light_steps() -> None:
    resources = pools.cluster_resources(Budget())  # of the three cores of the tests' Ray
    assert (resources.cores, resources.gpus) == (2, 1)
    assert pools.cluster_resources(Budget(cpus=2.5)).cores == 1
    assert pools.cluster_resources(Budget(gpus=7)).gpus == 7
    assert pools.cluster_resources(Budget(cpus=2, gpus=0), only_maps=True).cores == 1
    assert pools.cluster_resources(Budget(memory=5 * GIB), only_maps=True).memory == 5 * GIB


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    "budget", [Budget(cpus=2, gpus=0), Budget(cpus=1), Budget(cpus=1, gpus=1), Budget(memory=4 * GIB)]
)
def test_a_budget_that_is_too_small_is_an_error(budget: Budget) -> None:
    with pytest.raises(ClusterError):
        pools.cluster_resources(budget)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_more_gpus_than_this_machine_has_are_refused() -> None:
    with pytest.raises(ClusterError):
        pools.plan_resources(None, Options(gpus=2))  # the first argument is not used before the check
