"""The statistics of blocks are dropped while Ray Data runs, because they grow with the rows."""

import pytest
import ray.data
from ray.data import DataContext

from pipeline.execution.block_statistics import DropBlockStatistics
from pipeline.execution.pools import Budget, configure_ray_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("ray_session"),
]


def blocks_with_statistics() -> int:
    """Run a flow of 40 blocks, and return the largest number of blocks with statistics of any step."""
    blocks = ray.data.range(40, override_num_blocks=40).map_batches(lambda batch: batch).materialize()
    return max(len(metadata) for metadata in blocks._raw_stats().metadata.values())


def test_the_statistics_of_blocks_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_ray_data(Budget())
    context = DataContext.get_current()
    assert DropBlockStatistics in context.custom_execution_callback_classes
    dropped = blocks_with_statistics()
    monkeypatch.setattr(context, "custom_execution_callback_classes", [])
    assert dropped < blocks_with_statistics() == 40
