"""The whole way on one Ray: nothing lost, nothing twice, nothing forgotten, and the same picture every time.

The session's Ray says it has a GPU, so that the converter runs in GPU actors; `gpus=0` takes the CPU's way.
"""

import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from pipeline import storage
from pipeline.errors import OutputError, RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.output import provenance
from pipeline.output.verify import repair, verify
from pipeline.plan.manifest import list_photos, read_manifest
from pipeline.run import Summary, convert
from schemas.detectors import DepthSettings
from schemas.options import Options
from schemas.recipe import Recipe

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]  # some of them are several runs
BROKEN = {"gone": "/none/gone.jpg", "null": None, "text": "text.jpg", "half": "half.jpg"}


@dataclass(frozen=True)
class Finished:
    """A run to look at."""

    manifest: str
    output: str
    summary: Summary
    follower: "Noted"

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["photo_id"]: row for row in rows_of(self.output)}


class Noted(RunProgress):
    """A follower that remembers."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.counts: list[tuple[int, int]] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def advance(self, done: int, failed: int) -> None:
        self.counts.append((done, failed))


def rows_of(output: str) -> list[dict[str, Any]]:
    return provenance.read_records(output, provenance.done_units(output)).to_pylist()


def files_of(output: str) -> dict[str, tuple[int, int]]:
    """Return every file below an output: its moment and inode, which any write changes."""
    stats = {str(path): path.stat() for path in Path(output).rglob("*") if path.is_file()}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()}


@pytest.fixture(scope="module")
def finished(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Convert 12 photos, and four rows that cannot be, in units of 3 that differ in shape."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "text.jpg").write_text("no picture")
    (folder / "half.jpg").write_bytes((photos / "p000.jpg").read_bytes()[:900])
    listed = list_photos(str(photos)).to_pylist()
    listed += [{"photo_id": name, "uri": uri} for name, uri in BROKEN.items()]
    table = pa.Table.from_pylist(listed).append_column("label", [[f"label {n}" for n in range(len(listed))]])
    manifest, output = str(folder / "manifest.parquet"), str(folder / "out")
    storage.put_table(manifest, table)
    follower = Noted()
    summary = convert(manifest, output, recipe, Options(unit_size=3, keep_maps=True), follower)
    return Finished(manifest, output, summary, follower)


def test_every_row_ends_as_exactly_one_row_of_provenance(finished: Finished) -> None:
    counts = Counter(row["photo_id"] for row in rows_of(finished.output))
    assert set(counts.values()) == {1}
    assert len(counts) == 16
    assert (finished.summary.converted, finished.summary.failed, finished.summary.failed_in_all) == (12, 4, 4)
    assert finished.follower.counts[-1] == (12, 4)
    assert any("no weights for depth" in text for text in finished.follower.notices)


@pytest.mark.usefixtures("finished")
def test_a_units_pictures_are_encoded_while_the_next_unit_is_drawn() -> None:
    drawing, encoding = (seconds_of(task) for task in ("MapWorker(MapBatches(Draw)).submit", "->MapBatches(Commit)"))
    assert [began for began, _ in encoding if any(start < began < end for start, end in drawing)]


def seconds_of(task: str) -> list[tuple[float, float]]:
    """Return when each of Ray's tasks whose name ends so began and ended."""
    events = [event for event in ray.timeline() if event["cat"].startswith("task::") and event["cat"].endswith(task)]
    return [(event["ts"], event["ts"] + event["dur"]) for event in events]


def test_failures_say_where_and_why(finished: Finished) -> None:
    failures = {name: finished.rows[name]["failure"] for name in BROKEN}
    assert {name: (each["stage"], each["error"], each["retryable"]) for name, each in failures.items()} == {
        "gone": ("fetch", "FetchError", False),
        "null": ("fetch", "FetchError", False),
        "text": ("decode", "ImageError", False),
        "half": ("decode", "ImageError", False),
    }
    assert failures["gone"]["message"] == "/none/gone.jpg: not found"


def test_pictures_are_as_recorded(finished: Finished) -> None:
    for name, row in finished.rows.items():
        if name in BROKEN:
            continue
        content = (Path(finished.output) / row["uri"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == (row["width"], row["height"])


def test_provenance_tells_how_to_make_it_again(finished: Finished, photos: Path, recipe: Recipe) -> None:
    row = finished.rows["p001.jpg"]
    assert row["source_sha256"] == hashlib.sha256((photos / "p001.jpg").read_bytes()).hexdigest()
    assert (row["source_width"], row["source_height"]) == (120, 160)
    assert json.loads(row["manifest"]) == {"label": "label 1"}
    assert row["recipe_digest"] == recipe.digest
    assert (row["device"][:3], row["dtype"], row["scheduler"]) == ("cpu", "float32", "DPMSolverMultistepScheduler")
    assert [control["origin"] for control in row["controls"]] == ["detected", "blank", "blank"]
    assert len(row["models"]) == 4
    assert json.loads(row["versions"])["diffusers"]
    assert json.loads(row["scheduler_config"])["beta_end"] == 0.02
    assert row["run_id"] == finished.summary.run_id
    assert all(row["seconds"][stage] is not None for stage in row["seconds"])
    account = json.loads((Path(finished.output) / "_run.json").read_text())
    assert account["recipe"]["prompt"] == recipe.prompt
    assert (account["status"], account["converted"], account["failed"]) == ("finished", 12, 4)


def test_the_control_map_is_that_of_its_own_photo(finished: Finished, photos: Path) -> None:
    import cv2
    import numpy as np

    from pipeline.images.geometry import transform_from_row
    from pipeline.images.photo import read_upright

    for name in ("p001.jpg", "p006.jpg"):
        row = finished.rows[name]
        source, target = (row["source_width"], row["source_height"]), (row["width"], row["height"])
        transform = transform_from_row(row["transform"], source, target)
        pixels = np.asarray(transform.apply(read_upright((photos / name).read_bytes()), Image.Resampling.LANCZOS))
        kept = np.asarray(Image.open(Path(finished.output) / row["controls"][0]["uri"]))
        assert (kept[..., 0] == cv2.Canny(pixels, 100, 200)).all()


def test_the_output_is_sound_and_reported(finished: Finished) -> None:
    assert verify(finished.output).sound
    page = (Path(finished.output) / "report" / "index.html").read_text()
    assert "12 pictures, 4 failures" in page
    assert all(f"{name} v0" in page for name in BROKEN)


def test_a_finished_output_is_left_alone(finished: Finished, recipe: Recipe) -> None:
    before = files_of(finished.output)
    again = convert(finished.manifest, finished.output, recipe, Options(unit_size=5))
    assert (again.converted, again.failed, again.earlier, again.failed_in_all) == (0, 0, 16, 4)
    assert again.seconds < 5
    assert files_of(finished.output) == before


@pytest.fixture(scope="module")
def labelled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a manifest of two photos that brings all that a manifest can, one photo on its side."""
    folder = tmp_path_factory.mktemp("labelled")
    photo = Image.open(data / "coffee.png").convert("RGB").resize((160, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "upright.jpg")
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif)
    mask = Image.new("L", (160, 120))
    mask.paste(5, (40, 30, 120, 90))
    mask.save(folder / "mask.png")
    Image.linear_gradient("L").resize((160, 120)).save(folder / "depth.png")
    nose = [0.0] * 51
    nose[:3] = [80.0, 60.0, 2.0]
    row = {
        "depth_uri": "depth.png", "mask_uri": "mask.png", "pose_keypoints": [nose], "keypoints": [[80.0, 60.0, 2.0]],
        "boxes": [{"x": 40.0, "y": 30.0, "w": 80.0, "h": 60.0, "category": "cup"}],
    }  # fmt: skip
    rows = [{"photo_id": name, "uri": f"{name}.jpg", **row} for name in ("upright", "turned")]
    storage.put_table(str(folder / "manifest.parquet"), pa.Table.from_pylist(rows))
    return folder


def test_truth_of_the_manifest_and_labels_come_along_for_every_variant(labelled: Path, recipe: Recipe) -> None:
    output = str(labelled / "out")
    chosen = recipe.model_copy(update={"fit": "pad"})
    cache = str(labelled / "cache")
    summary = convert(str(labelled / "manifest.parquet"), output, chosen, Options(variants=3, map_cache=cache))
    assert (summary.converted, summary.failed) == (6, 0)
    assert (summary.maps_detected, summary.maps_cached) == (2, 4)  # canny; people and depth are given
    assert verify(output).sound
    for row in rows_of(output):
        assert [control["origin"] for control in row["controls"]] == ["detected", "manifest", "manifest"]
        assert row["controls"][2]["source_uri"].endswith("/depth.png")
        (box,), (width, height) = row["labels"]["boxes"], (row["width"], row["height"])
        assert [box["x"], box["y"], box["w"], box["h"]] == pytest.approx([width / 4, height / 4, width / 2, height / 2])
        assert row["labels"]["keypoints"][0]["points"] == pytest.approx([width / 2, height / 2, 2])
        with Image.open(Path(output) / row["uri"]) as picture:
            assert picture.size == (width, height)
            assert picture.size in {(64, 48), (128, 96)}  # without the padding
        with Image.open(Path(output) / row["label_mask_uri"]) as mask:
            assert mask.size == (width, height)
            assert mask.getbbox() == pytest.approx((width // 4, height // 4, 3 * width // 4, 3 * height // 4), abs=1)
    page = (Path(output) / "report" / "index.html").read_text()
    assert "67 % hits" in page


def test_maps_alone_become_a_dataset_that_shares_its_cache(labelled: Path, recipe: Recipe) -> None:
    output, cache = str(labelled / "maps"), str(labelled / "cache")
    alone = recipe.model_copy(update={"fit": "pad", "mode": "maps"})
    summary = convert(str(labelled / "manifest.parquet"), output, alone, Options(map_cache=cache))
    assert (summary.converted, summary.maps_detected, summary.maps_cached) == (2, 0, 2)
    assert verify(output).sound
    assert len(list(Path(output).glob("maps/*/*.png"))) == 6
    assert not (Path(output) / "images").exists()
    assert [row["status"] for row in rows_of(output)] == ["done", "done"]
    again = convert(str(labelled / "manifest.parquet"), output, alone)
    assert (again.converted, again.earlier) == (0, 2)
    with pytest.raises(OutputError, match="they differ in mode"):
        convert(str(labelled / "manifest.parquet"), output, recipe.model_copy(update={"fit": "pad"}))


def test_a_run_measures_itself_and_says_what_follows(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    follower = Noted()
    output = str(tmp_path / "out")
    convert(str(photos), output, recipe, Options(gpus=0, limit=4, calibrate=True), follower)
    account = json.loads((Path(output) / "_run.json").read_text())
    assert set(account["milliseconds_per_photo"]) == {"fetch", "decode", "controls", "convert", "encode"}
    assert all(spent > 0 for spent in account["milliseconds_per_photo"].values())
    assert account["pools"] == {"drawers": 1, "converters": 1}
    assert any(text.startswith("milliseconds for a photo: fetch ") for text in follower.notices)
    assert verify(output).sound


def test_with_a_gpu_networks_draw_their_maps_there(
    photos: Path, recipe: Recipe, tmp_path: Path, weights_of: Callable[[str], Path]
) -> None:
    depth = recipe.controls[2].model_copy(update={"detector": DepthSettings(weights=str(weights_of("depth")))})
    chosen = recipe.model_copy(update={"controls": (recipe.controls[0], depth)})
    there, here = str(tmp_path / "there"), str(tmp_path / "here")
    summary = convert(str(photos), there, chosen, Options(limit=3, calibrate=True))
    convert(str(photos), here, chosen, Options(limit=3, gpus=0))
    accounts = [json.loads((Path(output) / "_run.json").read_text()) for output in (there, here)]
    assert [account["detectors_on_gpu"] for account in accounts] == [["depth"], []]
    assert (summary.converted, summary.maps_detected) == (3, 6)
    before, after = ({row["photo_id"]: row for row in rows_of(output)} for output in (there, here))
    for name, row in before.items():
        assert [each["sha256"] for each in row["controls"]] == [each["sha256"] for each in after[name]["controls"]]
        assert row["sha256"] == after[name]["sha256"]
        assert row["controls"][1]["model"]["role"] == "depth"


def test_another_recipe_is_refused_by_name(finished: Finished, recipe: Recipe) -> None:
    before = files_of(finished.output)
    other = recipe.model_copy(update={"steps": 3})
    with pytest.raises(OutputError, match="they differ in steps.*--recipe-changed=reconvert"):
        convert(finished.manifest, finished.output, other)
    assert files_of(finished.output) == before


@pytest.fixture(scope="module")
def small(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a folder of three of the photos on the CPU, in units of one; return what holds `photos` and `out`."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "photos").mkdir()
    for name in ("p000.jpg", "p001.jpg", "p002.jpg"):
        shutil.copy2(photos / name, folder / "photos" / name)
    convert(str(folder / "photos"), str(folder / "out"), recipe, Options(unit_size=1, gpus=0))
    return folder


def test_the_cpus_way_and_other_units_give_the_same_bytes(finished: Finished, small: Path) -> None:
    rows = rows_of(str(small / "out"))
    assert len(rows) == 3
    for row in rows:
        assert row["sha256"] == finished.rows[row["photo_id"]]["sha256"]
        assert row["seed"] == finished.rows[row["photo_id"]]["seed"]


def test_another_recipe_converts_all_again_and_both_are_told(small: Path, recipe: Recipe, tmp_path: Path) -> None:
    output = str(shutil.copytree(small / "out", tmp_path / "out"))
    changed = recipe.model_copy(update={"seed": 1, "output": recipe.output.model_copy(update={"format": "webp"})})
    summary = convert(str(small / "photos"), output, changed, Options(variants=2, recipe_changed="reconvert"))
    assert (summary.converted, summary.earlier) == (6, 0)
    assert verify(output).sound
    assert len(storage.names(f"{output}/_recipes")) == 2
    rows = rows_of(output)
    assert len({row["sha256"] for row in rows}) == len(rows) == 9
    assert Counter(row["uri"].rpartition(".")[2] for row in rows) == {"webp": 6, "png": 3}


def test_new_and_changed_photos_become_new_units_and_a_repaired_one_is_the_same(
    small: Path, recipe: Recipe, photos: Path, tmp_path: Path
) -> None:
    output = str(shutil.copytree(small / "out", tmp_path / "out"))
    table = read_manifest(str(small / "out" / "_manifest.parquet")).to_pylist()
    table[1] |= {"uri": str(photos / "p004.jpg"), "bytes": 1}  # changed
    table.append({"photo_id": "new", "uri": str(photos / "p005.jpg")})
    manifest = str(tmp_path / "m.parquet")
    storage.put_table(manifest, pa.Table.from_pylist(table))
    lost = next(row for row in rows_of(output) if row["photo_id"] == "p002.jpg")
    (Path(output) / lost["uri"]).unlink()
    (Path(output) / "images" / "stray.png").write_bytes(b"stray")
    findings = verify(output)
    assert (len(findings.missing), len(findings.orphaned)) == (1, 1)
    repair(output, findings)
    summary = convert(manifest, output, recipe)
    assert (summary.converted, summary.earlier) == (3, 1)
    assert verify(output).sound
    rows = rows_of(output)
    assert [row["sha256"] for row in rows if row["photo_id"] == "p002.jpg"] == [lost["sha256"]]
    assert Counter(row["photo_id"] for row in rows) == {"p000.jpg": 1, "p001.jpg": 2, "p002.jpg": 1, "new": 1}
    assert convert(manifest, output, recipe).converted == 0


def test_too_many_failures_stop_the_run_and_its_records_stand(recipe: Recipe, tmp_path: Path) -> None:
    manifest, output = str(tmp_path / "m.parquet"), str(tmp_path / "out")
    ids = [f"g{number}" for number in range(6)]
    storage.put_table(manifest, pa.table({"photo_id": ids, "uri": [f"/none/{name}" for name in ids]}))
    with pytest.raises(RunStoppedError, match=r"of 6 pictures failed, more than --max-failure-rate 0\.3"):
        convert(manifest, output, recipe, Options(unit_size=1, max_failure_rate=0.3))
    assert 2 <= len(provenance.done_units(output)) <= 6
    assert json.loads(storage.read(f"{output}/_run.json"))["status"] == "running"


def test_from_bucket_to_bucket(bucket: str, photos: Path, recipe: Recipe) -> None:
    for name in ("p000.jpg", "p001.jpg", "p002.jpg"):
        storage.put(f"{bucket}/in/{name}", (photos / name).read_bytes())
    storage.put_table(f"{bucket}/manifest.parquet", list_photos(f"{bucket}/in"))
    table = pq.read_table(pa.BufferReader(storage.read(f"{bucket}/manifest.parquet")))
    assert table["uri"].to_pylist()[0] == f"{bucket}/in/p000.jpg"
    assert table["etag"].null_count == 0
    summary = convert(f"{bucket}/manifest.parquet", f"{bucket}/out", recipe, Options(unit_size=2))
    assert (summary.converted, summary.failed) == (3, 0)
    assert verify(f"{bucket}/out").sound
    assert storage.exists(f"{bucket}/out/report/index.html")
    assert convert(f"{bucket}/manifest.parquet", f"{bucket}/out", recipe).converted == 0
