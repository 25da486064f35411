"""photo2anime bench flow: every synthetic photo is recorded, and the calls of the converter are measured."""

from pathlib import Path

import pytest

from jobs.bench import flow


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
