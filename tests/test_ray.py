"""Runs on Ray: actors with a GPU, resources, and an early end. `tests/test_flow.py` tests the steps without it."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
from filelock import FileLock

from pipeline import storage
from pipeline.errors import TooManyFailuresError
from pipeline.output import provenance
from pipeline.output.verify import verify
from pipeline.run import convert
from schemas.detectors import DepthSettings
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import RecordedProgress, convert_locally
from tests.records import read_records
from tests.test_flow import BROKEN, Finished, write_manifest_with_broken_photos

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]
UNIT = 3
POLLS = 60


@pytest.fixture(scope="module")
def gpu_recipe(recipe: Recipe, weights_of: Callable[[str], Path]) -> Recipe:
    """Return the recipe with weights for its depth detector, a network that gains from a GPU."""
    depth = recipe.controls[2].model_copy(update={"detector": DepthSettings(weights=str(weights_of("depth")))})
    return recipe.model_copy(update={"controls": (*recipe.controls[:2], depth)})


@pytest.fixture(scope="module")
def finished(
    ray_lock: FileLock, photos: Path, gpu_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """Convert 12 photos and four broken ones on Ray, in units of three rows."""
    folder = tmp_path_factory.mktemp("ray")
    manifest, output, progress = (
        write_manifest_with_broken_photos(photos, folder),
        str(folder / "out"),
        RecordedProgress(),
    )
    with ray_lock, progress.recorded_log():
        summary = convert(manifest, output, gpu_recipe, Options(unit_size=UNIT), progress)
    return Finished(manifest, output, summary, progress)


@pytest.fixture(scope="module")
def run_file(finished: Finished) -> dict[str, Any]:
    """Return the content of the run file."""
    content: dict[str, Any] = json.loads((Path(finished.output) / "_run.json").read_text())
    return content


def test_every_row_is_recorded_exactly_once(finished: Finished) -> None:
    counts = Counter(row["photo_id"] for row in read_records(finished.output))
    assert set(counts.values()) == {1}
    assert len(counts) == 12 + len(BROKEN)
    assert (finished.summary.converted, finished.summary.failed, finished.summary.failed_in_all) == (12, 4, 4)
    assert finished.progress.counts[-1] == (12, 4)
    assert verify(finished.output).valid


def test_images_and_maps_have_the_bytes_of_a_run_without_ray(
    finished: Finished, gpu_recipe: Recipe, tmp_path: Path
) -> None:
    local = str(tmp_path / "local")
    convert_locally(finished.manifest, local, gpu_recipe, Options(unit_size=5))
    for row in read_records(local):
        on_ray = finished.rows[row["photo_id"]]
        assert on_ray["sha256"] == row["sha256"]
        assert [each["sha256"] for each in on_ray["controls"]] == [each["sha256"] for each in row["controls"]]


def test_networks_run_in_the_actor_that_has_the_gpu(finished: Finished, run_file: dict[str, Any]) -> None:
    assert run_file["detectors_on_gpu"] == ["depth"]
    assert finished.summary.maps_detected == 24
    assert finished.rows["p000.jpg"]["controls"][2]["model"]["role"] == "depth"


def test_the_run_file_has_the_sizes_of_the_pools(run_file: dict[str, Any]) -> None:
    assert run_file["pools"] == {"control_maps": 2, "convert": 1}


@pytest.mark.usefixtures("finished")
def test_images_are_encoded_before_the_last_unit_is_converted() -> None:
    for _ in range(POLLS):
        converted, encoded = (
            start_times("MapWorker(MapBatches(Convert)).submit"),
            start_times("->MapBatches(Commit)"),
        )
        if converted and encoded and min(encoded) < max(converted):
            return
        time.sleep(0.5)  # Ray reports tasks with a delay
    pytest.fail(f"start of the conversions: {converted}, of the encodings: {encoded}")


def start_times(task: str) -> list[float]:
    """Return the start time, in microseconds, of each Ray task whose name ends with `task`."""
    events = [event for event in ray.timeline() if event["cat"].startswith("task::") and event["cat"].endswith(task)]
    return [event["ts"] for event in events]


@pytest.mark.usefixtures("ray_session")
def test_too_many_failures_stop_the_run_and_keep_its_records(recipe: Recipe, tmp_path: Path) -> None:
    manifest, output = str(tmp_path / "m.parquet"), str(tmp_path / "out")
    ids = [f"g{number}" for number in range(6)]
    storage.put_table(manifest, pa.table({"photo_id": ids, "uri": [f"/none/{name}" for name in ids]}))
    maps_only = recipe.model_copy(update={"mode": "maps"})
    with pytest.raises(TooManyFailuresError):
        convert(manifest, output, maps_only, Options(unit_size=1, max_failure_rate=0.3, gpus=0))
    assert 2 <= len(provenance.done_units(output)) <= 6
    assert json.loads(storage.read(f"{output}/_run.json"))["status"] == "stopped"
