"""Pool sizes: detectors keep pace with the GPUs if there are enough cores; without GPUs, throughput is highest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ClusterError
from pipeline.execution import pools
from pipeline.execution.pools import ClusterResources, PoolSizes, size_pools

MILLISECONDS = st.floats(0.01, 60_000)


@given(st.integers(1, 64), st.integers(1, 8), MILLISECONDS, MILLISECONDS)
def test_with_a_gpu_detectors_are_as_fast_as_the_gpu_or_use_every_core(
    cores: int, gpus: int, controls: float, convert: float
) -> None:
    sizes = size_pools(ClusterResources(cores, gpus), {"controls": controls, "convert": convert})
    assert sizes.convert == gpus
    assert 1 <= sizes.control_maps <= cores
    assert sizes.control_maps == cores or sizes.control_maps / controls >= gpus / convert
    # One detector process fewer would be too slow.
    assert sizes.control_maps == 1 or (sizes.control_maps - 1) / controls < pools.DETECTOR_HEADROOM * gpus / convert


@given(st.integers(2, 64), MILLISECONDS, MILLISECONDS)
def test_without_a_gpu_the_split_has_the_highest_throughput(cores: int, controls: float, convert: float) -> None:
    sizes = size_pools(ClusterResources(cores, 0), {"controls": controls, "convert": convert})
    throughput = min(sizes.control_maps / controls, sizes.convert / convert)
    assert sizes.control_maps + sizes.convert == cores
    assert all(min(n / controls, (cores - n) / convert) <= throughput for n in range(1, cores))


@pytest.mark.parametrize(
    ("cluster", "growing", "expected"),
    [
        # A machine of two cores: the project starts Ray with four CPUs, and one of them stays free.
        (ClusterResources(3, 0), False, PoolSizes(1, 2)),
        (ClusterResources(17, 0), False, PoolSizes(4, 13)),
        (ClusterResources(7, 1), False, PoolSizes(7, 1)),
        (ClusterResources(1, 2), True, PoolSizes(16, 2)),
    ],
)
def test_pools_without_a_measurement_have_fixed_ratios(
    cluster: ClusterResources, *, growing: bool, expected: PoolSizes
) -> None:
    assert size_pools(cluster, None, growing=growing) == expected


def test_a_run_of_maps_only_uses_every_core() -> None:
    assert size_pools(ClusterResources(5, 0), None, only_maps=True) == PoolSizes(5, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("gpus", "device"),
    [(1, {"num_gpus": 1, "num_cpus": 0}), (0, {"num_cpus": 1})],
)
def test_each_pool_has_its_resources(gpus: int, device: dict[str, int]) -> None:
    cluster = pools.cluster_resources(gpus)
    by_pool = pools.step_resources(cluster, PoolSizes(2, 3), frozenset({"depth"})).by_pool
    assert cluster.gpus == gpus
    assert by_pool["gpu"]["compute"].max_size == 3
    assert {name: by_pool["gpu"][name] for name in device} == device
    assert by_pool["control_maps"]["compute"].max_size == 2
    assert by_pool["light"]["num_cpus"] == pools.LIGHT_CPUS


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_one_core_stays_free_for_light_steps() -> None:
    assert pools.cluster_resources() == ClusterResources(2, 1)  # of the three cores of the tests' Ray


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_cluster_without_enough_cores_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "FEWEST_CORES", 3)
    with pytest.raises(ClusterError):
        pools.cluster_resources(0)
