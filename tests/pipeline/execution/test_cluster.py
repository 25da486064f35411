"""The machines: folders of killed runs are swept, those of living ones are not."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.errors import StorageError
from pipeline.execution import cluster
from pipeline.quiet import silence_stderr


def test_a_killed_runs_folder_goes_and_a_living_ones_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="swp-") as base:
        monkeypatch.setattr(tempfile, "tempdir", base)
        dead, living, other = (Path(base) / f"{cluster.PREFIX}{name}" for name in ("dead", "living", "other"))
        for folder in (dead, living, other):
            folder.mkdir()
        (dead / cluster.LOCK).touch()
        with FileLock(living / cluster.LOCK), cluster._own_folder() as own:
            assert sorted(Path(base).iterdir()) == sorted([living, other, Path(own)])
            assert len(own) < 35
        assert not Path(own).exists()


def test_a_long_temporary_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with cluster._own_folder() as own:
        assert own.startswith("/tmp/p2a-")  # noqa: S108 - that is what is checked


@pytest.mark.usefixtures("ray_session")
def test_the_callers_own_ray_is_used_and_left() -> None:
    import ray

    with cluster.connect_ray(None):
        assert ray.is_initialized()
    assert ray.is_initialized()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address: str) -> None:
    with pytest.raises(StorageError, match=f"no Ray at '{address}'.*Check --address"):
        cluster._check_answers(address)


def test_signals_and_standard_error_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cluster._signals_kept(), silence_stderr():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(2, b"nobody hears this")
    assert signal.getsignal(signal.SIGTERM) is before
    os.write(2, b"")
