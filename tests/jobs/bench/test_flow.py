"""photo2anime bench flow: every synthetic photo is recorded, and the calls of the converter are measured."""

from pathlib import Path

import pytest

from jobs.bench import flow
from jobs.bench.measurement import MemorySamples


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("work", ["none", "gpu"])
def test_all_rows_go_through_the_flow(tmp_path: Path, work: str) -> None:
    times = flow.measure_flow(tmp_path, 20, 8, work, 4)
    assert (times.rows, times.records) == (20, 5)
    assert times.first > 0
    assert 0 < times.busy <= 1
    assert len(times.memory.values) >= 2
    assert 0 < times.driver < 2
    assert 0 < times.cores <= 1.01
    assert times.report > 0


@pytest.mark.parametrize(
    ("busy", "driver", "cores", "bound"),
    [
        (0.99, 0.1, 0.9, "the converter"),
        (0.1, 0.95, 1.0, "CPU of the driver"),
        (0.1, 0.3, 0.95, "CPU of the machine"),
        (0.1, 0.1, 0.1, "waiting"),
    ],
)
def test_the_bound_is_the_first_one_that_is_busy(busy: float, driver: float, cores: float, bound: str) -> None:
    assert flow.FlowTimes(10, 1, 1, 1, MemorySamples([1]), busy, driver, cores, 1, 1).bound == bound
