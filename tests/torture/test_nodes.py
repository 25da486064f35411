"""One of three nodes of a Ray cluster is killed while batches are in work."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ray_head import NO_GPU
from tests.torture.lines import line, long_only, tries
from tests.torture.program import Expected, Program
from tests.torture.test_processes import next_record

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(3600)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a cluster of three nodes on this machine, with its own temporary folder."""
    for name, value in NO_GPU.items():
        monkeypatch.setenv(name, value)
    with tempfile.TemporaryDirectory(prefix="ray-n", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        for _ in range(2):
            started.add_node(num_cpus=2)
        started.wait_for_nodes()
        try:
            yield started
        finally:
            started.shutdown()


@long_only
def test_a_node_is_killed(maps: Expected, cluster: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with line("SIGKILL of one node of three") as added:
        for number in range(tries(2, 1)):
            program = Program(maps, str(tmp_path / f"out-{number}"), options=("--address", cluster.address))
            with program.running(log) as running:
                assert running.reach(next_record(program)), log.read_text()[-2000:]
                node = min(cluster.worker_nodes, key=str)
                cluster.remove_node(node, allow_graceful=False)
                added.tries += 1
                running.wait(added)
            program.finish(added, log)
            cluster.add_node(num_cpus=2)
