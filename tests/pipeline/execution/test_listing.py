"""Headers are read in Ray tasks, which share a rate limit, and failed tasks end the listing with one error."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from pipeline import storage
from pipeline.errors import InterruptedRunError, RunStoppedError
from pipeline.execution import listing
from pipeline.execution.listing import TASK_RATE, RayReader, walk_on_ray
from pipeline.plan.listing import Listing, ListingOptions, list_photos, write_listing
from pipeline.storage.walk import walk_files
from tests.ray_head import CPUS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("ray_session"),
]


def test_a_listing_of_ray_tasks_equals_one_of_threads(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    options = ListingOptions(RayReader(photos=2), parts=f"{out}.parts")
    assert write_listing(str(photos), str(out), options) == Listing(12, 12)
    assert pq.read_table(out).to_pylist() == list_photos(str(photos)).to_pylist()
    assert [path.name for path in tmp_path.iterdir()] == ["m.parquet"]


# A Ray of its own, whose processes have the credentials of the bucket.
LIST_ON_RAY = """
import json, sys
from pipeline.execution.cluster import connect_ray
from pipeline.execution.listing import walk_on_ray
from pipeline.plan.listing import ListingOptions, write_listing

folder, out, *skipped = sys.argv[1:]
with connect_ray(None):
    for skip in skipped:
        print(json.dumps(sorted((entry.name, entry.etag) for page in walk_on_ray(folder, skip) for entry in page)))
    write_listing(folder, out, ListingOptions(walk=walk_on_ray))
"""


def test_subfolders_of_a_bucket_are_listed_in_tasks(bucket: str) -> None:
    folder, out, skipped = f"{bucket}/ray-walk", f"{bucket}/ray-walk.parquet", ["", "b", "a/x", "none"]
    for name in (
        "1.jpg",
        "2.jpg",
        "a/3.jpg",
        "a/x/4.jpg",
        "a/x/5.jpg",
        "b/6.jpg",
        "b0",
        "c/y/z/7.jpg",
        "/8.jpg",
        "/d/9.jpg",
    ):
        storage.put(f"{folder}/{name}", name.encode())
    command = [sys.executable, "-c", LIST_ON_RAY, folder, out, *skipped]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    expected = [
        sorted([entry.name, entry.etag] for page in walk_files(folder, skip) for entry in page) for skip in skipped
    ]
    assert listed == expected
    assert [len(entries) for entries in listed] == [10, 9, 8, 10]
    assert storage.read_table(out)["photo_id"].to_pylist() == [name for name, _ in expected[0] if name != "b0"]


def test_a_local_folder_is_listed_by_this_process(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"1")
    assert [entry.name for page in walk_on_ray(str(tmp_path)) for entry in page] == ["a/1.jpg"]


def test_a_subfolder_that_cannot_be_listed_ends_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "list_level", lambda _folder: iter([([], ["a"])]))
    with pytest.raises(RunStoppedError):
        list(walk_on_ray("memory://none-in-other-processes"))


def test_chunks_of_an_interrupted_listing_are_kept(photos: Path, tmp_path: Path) -> None:
    out, calls = tmp_path / "m.parquet", list[int]()

    def interrupt(done: int, _photos: int) -> None:
        if done == 4:
            raise InterruptedRunError("interrupted")

    options = ListingOptions(RayReader(photos=2), parts=f"{out}.parts")
    with pytest.raises(InterruptedRunError):
        write_listing(str(photos), str(out), options, interrupt)
    assert len(list(Path(options.parts).glob("headers-*"))) == 2
    assert write_listing(str(photos), str(out), options, lambda done, _: calls.append(done)) == Listing(12, 12)
    assert calls == [4, 6, 8, 10, 12]


def test_a_failed_task_ends_the_listing() -> None:
    with pytest.raises(RunStoppedError):
        list(RayReader()(iter([pa.table({"other": ["column"]})])))


@pytest.mark.parametrize("rate", [0.5, TASK_RATE, TASK_RATE + 1, 1e6])
def test_tasks_share_the_rate(rate: float) -> None:
    reader = RayReader(rate)
    assert reader.tasks == min(CPUS, math.ceil(rate / TASK_RATE))
    assert reader.share is not None
    assert reader.share * reader.tasks == pytest.approx(rate)


def test_no_more_tasks_than_planned_run_at_the_same_time(photos: Path) -> None:
    reader = RayReader(rate=TASK_RATE, photos=1)
    assert reader.tasks == 1
    taken = list[int]()

    def chunks() -> list[pa.Table]:
        rows = {"uri": [str(photos / "p000.jpg")], "bytes": [1], "etag": [None], "modified": [None]}
        return [pa.table(rows)] * 3

    results = reader(taken.append(number) or chunk for number, chunk in enumerate(chunks()))  # type: ignore[func-returns-value]
    next(results)
    assert taken == [0, 1]
    assert len(list(results)) == 2
    assert ray.is_initialized()
