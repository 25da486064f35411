"""The cluster of a run: the parent of its temporary folder, the connection and its errors."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.errors import ClusterError
from pipeline.execution import cluster
from pipeline.quiet import silence_stderr


def test_a_long_path_is_not_the_parent_of_rays_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cluster._parent_folder() == "/tmp"  # noqa: S108 - the expected folder
    monkeypatch.setattr(tempfile, "tempdir", "/short")
    assert cluster._parent_folder() == "/short"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_connection_of_the_caller_is_used_and_stays_open() -> None:
    import ray

    with cluster.connect_ray(None):
        assert ray.is_initialized()
    assert ray.is_initialized()


def test_too_few_open_files_are_an_error_before_ray_starts() -> None:
    code = f"""
import resource
from pipeline.errors import ClusterError
from pipeline.execution.cluster import LEAST_OPEN_FILES, connect_ray
resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_OPEN_FILES - 1,) * 2)
try:
    with connect_ray(None):
        pass
except ClusterError as error:
    assert str(LEAST_OPEN_FILES - 1) in str(error)
    raise SystemExit({ClusterError.exit_code})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == ClusterError.exit_code


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_an_error(address: str) -> None:
    with pytest.raises(ClusterError, match=address):
        cluster._check_address(address)


def test_the_address_of_the_environment_without_a_cluster_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match="127.0.0.1:1"):
        cluster._check_address("auto")


def test_signal_handlers_and_standard_error_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cluster._signal_handler_kept(), silence_stderr():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(2, b"discarded")
    assert signal.getsignal(signal.SIGTERM) is before
    os.write(2, b"")
