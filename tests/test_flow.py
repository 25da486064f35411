"""The chain of steps from photos to a finished output, run in this process: `tests/test_ray.py` runs it on Ray."""

import hashlib
import io
import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import storage
from pipeline.errors import OutputError, RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.images.geometry import transform_from_row
from pipeline.images.photo import read_upright
from pipeline.output.repair import repair
from pipeline.output.verify import verify
from pipeline.plan.listing import list_photos
from pipeline.run import Summary
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import RecordedProgress, convert_locally
from tests.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
BROKEN = {"gone": "/none/gone.jpg", "null": None, "text": "text.jpg", "half": "half.jpg"}
"""Photos that cannot be converted: their ids and addresses."""


class Interruption(RunProgress):
    """Ends the run as soon as a unit is finished."""

    def advance(self, done: int, failed: int) -> None:
        raise RunStoppedError(f"interrupted after {done} images and {failed} failures")


@dataclass(frozen=True)
class Finished:
    """A finished run: its input, its output and what it reported."""

    manifest: str
    output: str
    summary: Summary
    progress: RecordedProgress

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["photo_id"]: row for row in read_records(self.output)}


def digests_of(output: str) -> dict[str, str]:
    """Return the digests of the images of an output, by photo."""
    return {row["photo_id"]: row["sha256"] for row in read_records(output)}


def files_of(output: str) -> dict[str, tuple[int, int]]:
    """Return the modification time and the inode of every file of an output: any write changes one of them."""
    stats = {str(path): path.stat() for path in Path(output).rglob("*") if path.is_file()}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()}


def write_manifest_with_broken_photos(photos: Path, folder: Path) -> str:
    """Write a manifest of `photos` and of four photos that cannot be converted, with a further column."""
    (folder / "text.jpg").write_text("no image")
    (folder / "half.jpg").write_bytes((photos / "p000.jpg").read_bytes()[:900])
    listed = list_photos(str(photos)).to_pylist()
    listed += [{"photo_id": name, "uri": uri} for name, uri in BROKEN.items()]
    table = pa.Table.from_pylist(listed).append_column("label", [[f"label {n}" for n in range(len(listed))]])
    manifest = str(folder / "manifest.parquet")
    storage.put_table(manifest, table)
    return manifest


@pytest.fixture(scope="module")
def finished(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Convert 12 photos of three sizes and four broken ones, in units of three rows."""
    folder = tmp_path_factory.mktemp("flow")
    manifest, output, progress = (
        write_manifest_with_broken_photos(photos, folder),
        str(folder / "out"),
        RecordedProgress(),
    )
    with progress.recorded_log():
        summary = convert_locally(manifest, output, recipe, Options(unit_size=3, keep_maps=True), progress)
    return Finished(manifest, output, summary, progress)


def test_every_row_is_recorded_exactly_once(finished: Finished) -> None:
    counts = Counter(row["photo_id"] for row in read_records(finished.output))
    assert set(counts.values()) == {1}
    assert len(counts) == 16
    assert (finished.summary.converted, finished.summary.failed, finished.summary.failed_in_all) == (12, 4, 4)
    assert finished.progress.counts[-1] == (12, 4)
    assert any("depth" in text for text in finished.progress.messages)  # its weights are missing


def test_failures_record_their_stage_and_code(finished: Finished) -> None:
    failures = {name: finished.rows[name]["failure"] for name in BROKEN}
    assert {name: (each["stage"], each["code"], each["retryable"]) for name, each in failures.items()} == {
        "gone": ("fetch", "fetch.not_found", False),
        "null": ("fetch", "fetch.missing_uri", False),
        "text": ("decode", "image.unsupported_format", False),
        "half": ("decode", "image.truncated", False),
    }
    assert "/none/gone.jpg" in failures["gone"]["message"]


def test_images_match_their_records(finished: Finished) -> None:
    for name, row in finished.rows.items():
        if name in BROKEN:
            continue
        content = (Path(finished.output) / row["uri"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (row["width"], row["height"])


def test_provenance_suffices_to_reproduce_an_image(finished: Finished, photos: Path, recipe: Recipe) -> None:
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


def test_the_control_map_belongs_to_its_photo(finished: Finished, photos: Path) -> None:
    for name in ("p001.jpg", "p006.jpg"):
        row = finished.rows[name]
        source, target = (row["source_width"], row["source_height"]), (row["width"], row["height"])
        transform = transform_from_row(row["transform"], source, target)
        pixels = np.asarray(transform.apply(read_upright((photos / name).read_bytes()), Image.Resampling.LANCZOS))
        kept = np.asarray(Image.open(Path(finished.output) / row["controls"][0]["uri"]))
        assert (kept[..., 0] == cv2.Canny(pixels, 100, 200)).all()


def test_the_output_passes_verification_and_has_a_report(finished: Finished) -> None:
    assert verify(finished.output).valid
    page = (Path(finished.output) / "report" / "index.html").read_text()
    assert all(f"{name} v0" in page for name in BROKEN)


def test_a_finished_output_is_not_touched(finished: Finished, recipe: Recipe) -> None:
    before, folder = files_of(finished.output), Path(finished.output).stat().st_mtime_ns
    again = convert_locally(finished.manifest, finished.output, recipe, Options(unit_size=5))
    assert Path(finished.output).stat().st_mtime_ns == folder  # no temporary file was written
    assert (again.converted, again.failed, again.earlier, again.failed_in_all) == (0, 0, 16, 4)
    assert files_of(finished.output) == before


def test_another_recipe_is_refused(finished: Finished, recipe: Recipe) -> None:
    before = files_of(finished.output)
    with pytest.raises(OutputError, match="steps"):
        convert_locally(finished.manifest, finished.output, recipe.model_copy(update={"steps": 3}))
    assert files_of(finished.output) == before


def test_an_interrupted_run_resumes_with_other_batches_and_another_order(
    finished: Finished, photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    rows = list_photos(str(photos)).to_pylist()
    random.Random(7).shuffle(rows)  # noqa: S311 - not for cryptography
    manifest, output = str(tmp_path / "shuffled.parquet"), str(tmp_path / "out")
    storage.put_table(manifest, pa.Table.from_pylist(rows))
    other = recipe.model_copy(update={"batch_size": 3})
    with pytest.raises(RunStoppedError, match="interrupted after 5 images"):
        convert_locally(manifest, output, other, Options(unit_size=5), Interruption())
    resumed = convert_locally(manifest, output, other, Options(unit_size=5))
    assert (resumed.earlier, resumed.converted) == (5, 7)
    expected = digests_of(finished.output)
    assert digests_of(output) == {name: expected[name] for name in expected.keys() - BROKEN.keys()}


@pytest.fixture(scope="module")
def small(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a folder of three photos in units of one row; return the folder of `photos` and `out`."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "photos").mkdir()
    for name in ("p000.jpg", "p001.jpg", "p002.jpg"):
        shutil.copy2(photos / name, folder / "photos" / name)
    convert_locally(str(folder / "photos"), str(folder / "out"), recipe, Options(unit_size=1))
    return folder


def test_images_do_not_depend_on_the_unit_size(finished: Finished, small: Path) -> None:
    rows = read_records(str(small / "out"))
    assert len(rows) == 3
    for row in rows:
        assert row["sha256"] == finished.rows[row["photo_id"]]["sha256"]
        assert row["seed"] == finished.rows[row["photo_id"]]["seed"]


def test_reconvert_keeps_the_images_and_the_text_of_the_previous_recipe(
    small: Path, recipe: Recipe, tmp_path: Path
) -> None:
    output = str(shutil.copytree(small / "out", tmp_path / "out"))
    changed = recipe.model_copy(update={"seed": 1, "output": recipe.output.model_copy(update={"format": "webp"})})
    options = Options(variants=2, recipe_changed="reconvert")
    summary = convert_locally(str(small / "photos"), output, changed, options)
    assert (summary.converted, summary.earlier) == (6, 0)
    assert verify(output).valid
    assert len(storage.names(f"{output}/_recipes")) == 2
    rows = read_records(output)
    assert len({row["sha256"] for row in rows}) == len(rows) == 9
    assert Counter(row["uri"].rpartition(".")[2] for row in rows) == {"webp": 6, "png": 3}


def test_new_and_changed_photos_are_converted_and_a_repaired_image_has_the_same_bytes(
    small: Path, recipe: Recipe, photos: Path, tmp_path: Path
) -> None:
    output = str(shutil.copytree(small / "out", tmp_path / "out"))
    table = storage.read_table(str(small / "out" / "_manifest.parquet")).to_pylist()
    table[1] |= {"uri": str(photos / "p004.jpg"), "bytes": 1}  # changed
    table.append({"photo_id": "new", "uri": str(photos / "p005.jpg")})
    manifest = str(tmp_path / "m.parquet")
    storage.put_table(manifest, pa.Table.from_pylist(table))
    lost = next(row for row in read_records(output) if row["photo_id"] == "p002.jpg")
    (Path(output) / lost["uri"]).unlink()
    (Path(output) / "images" / "stray.png").write_bytes(b"stray")
    findings = verify(output)
    assert (len(findings.missing), len(findings.orphaned)) == (1, 1)
    repair(output, findings)
    summary = convert_locally(manifest, output, recipe)
    assert (summary.converted, summary.earlier) == (3, 1)
    assert verify(output).valid
    rows = read_records(output)
    assert [row["sha256"] for row in rows if row["photo_id"] == "p002.jpg"] == [lost["sha256"]]
    assert Counter(row["photo_id"] for row in rows) == {"p000.jpg": 1, "p001.jpg": 2, "p002.jpg": 1, "new": 1}
    assert convert_locally(manifest, output, recipe).converted == 0


def test_a_bucket_is_converted_into_a_bucket(bucket: str, photos: Path, recipe: Recipe) -> None:
    for name in ("p000.jpg", "p001.jpg", "p002.jpg"):
        storage.put(f"{bucket}/in/{name}", (photos / name).read_bytes())
    storage.put_table(f"{bucket}/manifest.parquet", list_photos(f"{bucket}/in"))
    table = pq.read_table(pa.BufferReader(storage.read(f"{bucket}/manifest.parquet")))
    assert table["uri"].to_pylist()[0] == f"{bucket}/in/p000.jpg"
    assert table["etag"].null_count == 0
    summary = convert_locally(f"{bucket}/manifest.parquet", f"{bucket}/out", recipe, Options(unit_size=2))
    assert (summary.converted, summary.failed) == (3, 0)
    assert verify(f"{bucket}/out").valid
    assert storage.exists(f"{bucket}/out/report/index.html")
    assert convert_locally(f"{bucket}/manifest.parquet", f"{bucket}/out", recipe).converted == 0
