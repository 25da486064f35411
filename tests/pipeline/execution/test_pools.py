"""Who does what: a GPU is never kept waiting, and without one no core waits for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.execution import pools
from pipeline.execution.pools import ClusterResources, PoolSizes, size_pools

MILLISECONDS = st.floats(0.01, 60_000)


@given(st.integers(1, 64), st.integers(1, 8), MILLISECONDS, MILLISECONDS)
def test_with_a_gpu_the_gpu_is_the_slowest_or_every_core_draws(
    cores: int, gpus: int, controls: float, convert: float
) -> None:
    sizes = size_pools(ClusterResources(cores, gpus), {"controls": controls, "convert": convert})
    assert sizes.converters == gpus
    assert 1 <= sizes.drawers <= cores
    assert sizes.drawers == cores or sizes.drawers / controls >= gpus / convert
    assert (
        sizes.drawers == 1 or (sizes.drawers - 1) / controls < pools.DETECTOR_HEADROOM * gpus / convert
    )  # and none idles


@given(st.integers(2, 64), MILLISECONDS, MILLISECONDS)
def test_without_one_the_split_is_the_fastest_there_is(cores: int, controls: float, convert: float) -> None:
    sizes = size_pools(ClusterResources(cores, 0), {"controls": controls, "convert": convert})
    pace = min(sizes.drawers / controls, sizes.converters / convert)
    assert sizes.drawers + sizes.converters == cores
    assert all(min(n / controls, (cores - n) / convert) <= pace for n in range(1, cores))


@pytest.mark.parametrize(
    ("there", "growing", "expected"),
    [
        (ClusterResources(3, 0), False, PoolSizes(1, 2)),  # two cores and the two that an embedded Ray adds
        (ClusterResources(17, 0), False, PoolSizes(4, 13)),
        (ClusterResources(7, 1), False, PoolSizes(7, 1)),
        (ClusterResources(1, 2), True, PoolSizes(16, 2)),
    ],
)
def test_unmeasured_pools_follow_from_experience(
    there: ClusterResources, *, growing: bool, expected: PoolSizes
) -> None:
    assert size_pools(there, None, growing=growing) == expected


def test_maps_alone_take_every_core() -> None:
    assert size_pools(ClusterResources(5, 0), None, maps_alone=True) == PoolSizes(5, 0)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("gpus", "device"), [(1, {"num_gpus": 1, "num_cpus": 0, "batch_size": 7}), (0, {"num_cpus": 1, "batch_size": None})])  # fmt: skip  # noqa: E501 - two lines say less
def test_the_crew_is_what_ray_data_is_told(gpus: int, device: dict[str, int]) -> None:
    there = pools.cluster_resources(gpus)
    made = pools.step_resources(7, there, PoolSizes(2, 3), frozenset({"depth"}))
    assert there.gpus == gpus
    assert made.converters["compute"].max_size == 3
    assert {name: made.converters[name] for name in device} == device
    assert made.control_maps["compute"].max_size == 2
    assert made.light["batch_size"] is None


@pytest.mark.usefixtures("ray_session")
def test_the_cluster_says_what_there_is() -> None:
    assert pools.cluster_resources() == ClusterResources(2, 1)  # three cores, one of which stays for light steps
