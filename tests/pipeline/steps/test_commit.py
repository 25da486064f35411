"""Commit writes the files of rows, and returns their rows of provenance."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import storage
from pipeline.output.run_file import RunMetadata
from pipeline.steps.commit import Commit, Finished, image_name
from pipeline.steps.row_step import rows_to_table
from schemas.arrow import to_rows
from schemas.provenance import PROVENANCE, RecordRow
from schemas.recipe import Recipe
from schemas.row_parts import Box, Labels
from schemas.work import Decoded, Encoded, Failed, Mapped
from tests.rows import blank_map, edit, encoded_row, failed_row_of, mapped_row, planned_row, png

KEYS = ["a" * 64, "b" * 64]
UNIT = "0123456789abcdef"
DETECTORS = ("canny", "openpose", "depth")


@pytest.fixture
def metadata(recipe: Recipe) -> RunMetadata:
    return RunMetadata("run-1", recipe, "0.1.0", "c" * 40)


@pytest.fixture
def done(decoded: Decoded) -> Encoded:
    """Return a row with an image and three control maps."""
    planned = {"unit": UNIT, "key": KEYS[0], "uri": "https://u:p@host/a.jpg?sig=1"}
    row = edit(decoded, planned=planned, timing={"attempts": 2}, source={"sha256": "d" * 64})
    return encoded_row(row, b"an image", *map(blank_map, DETECTORS))


@pytest.fixture
def failed() -> Failed:
    planned = planned_row(unit=UNIT, key=KEYS[1], photo_id="other", uri=None)
    failure = {"code": "fetch.failed", "message": "timed out", "attempts": 3, "retryable": True}
    return edit(failed_row_of(planned), failure=failure)


def commit(output: object, metadata: RunMetadata, *rows: Finished, keep_maps: bool = False) -> pa.Table:
    kind = Mapped if metadata.recipe.mode == "maps" else Encoded
    return Commit(str(output), metadata, keep_maps=keep_maps)(rows_to_table(rows, kind))


def records(output: object, metadata: RunMetadata, *rows: Finished, keep_maps: bool = False) -> list[dict[str, Any]]:
    """Commit rows, and return their rows of provenance as dictionaries."""
    committed: list[dict[str, Any]] = commit(output, metadata, *rows, keep_maps=keep_maps).to_pylist()
    return committed


def test_the_record_has_the_image_and_the_failure(
    done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    table = commit(tmp_path, metadata, done, failed)
    assert table.schema == PROVENANCE
    first, second = table.to_pylist()
    assert (tmp_path / first["uri"]).read_bytes() == b"an image"
    assert first["sha256"] == hashlib.sha256(b"an image").hexdigest()
    assert (first["status"], first["bytes"], first["attempts"]) == ("done", 8, 2)
    assert (first["source_uri"], first["source_sha256"]) == ("https://host/a.jpg", "d" * 64)
    assert (first["run_id"], first["git_commit"], first["device"]) == ("run-1", "c" * 40, "cpu")
    assert json.loads(first["settings"])["steps"] == metadata.recipe.steps
    assert first["controls"][0]["net"] == "builtin:demo/controlnet-canny"
    assert first["seconds"]["commit"] > 0
    assert (second["status"], second["uri"], second["sha256"], second["width"]) == ("failed", None, None, None)
    assert second["failure"] == {
        "stage": "fetch",
        "error": "FileMissingError",
        "code": "fetch.failed",
        "message": "timed out",
        "attempts": 3,
        "retryable": True,
    }
    assert not (tmp_path / "maps").exists()


def test_rows_of_provenance_have_the_parts_of_the_rows(done: Encoded, failed: Failed, metadata: RunMetadata) -> None:
    first, second = to_rows(commit("memory://commit-record", metadata, done, failed), RecordRow)
    assert (first.transform, first.labels) == (done.canvas.transform, done.canvas.labels)
    assert second.failure == failed.failure


def test_a_repeated_unit_writes_the_same_files(
    done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    commit(tmp_path, metadata, done, failed, keep_maps=True)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    commit(tmp_path, metadata, done, failed, keep_maps=True)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()) == before
    assert len(before) == 1 + 3


def test_kept_maps_are_recorded_with_their_digest(done: Encoded, failed: Failed, metadata: RunMetadata) -> None:
    output = "memory://commit-maps"
    control = records(output, metadata, done, failed, keep_maps=True)[0]["controls"][0]
    assert control["file_sha256"] == hashlib.sha256(storage.read(f"{output}/{control['uri']}")).hexdigest()


def test_a_mask_is_written_unless_too_little_of_it_is_visible(
    done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    visible = edit(done, canvas={"mask": b"a mask", "labels": Labels(None, None, 0.3)})
    record = records(tmp_path, metadata, visible, failed)[0]
    assert (tmp_path / record["label_mask_uri"]).read_bytes() == b"a mask"
    assert record["label_mask_sha256"] == hashlib.sha256(b"a mask").hexdigest()
    record = records(tmp_path, metadata, edit(visible, canvas={"labels": {"mask_visible": 0.2}}), failed)[0]
    assert (record["label_mask_uri"], record["labels"]["mask_visible"]) == (None, 0.2)


def test_sizes_and_maps_exclude_the_padding(
    done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    padded = edit(done, canvas={"padding": {"top": 16, "bottom": 8}})
    record = records(tmp_path, metadata, padded, failed, keep_maps=True)[0]
    assert (record["width"], record["height"], record["padding"]["top"]) == (64, 40, 16)
    with Image.open(tmp_path / record["controls"][0]["uri"]) as kept:
        assert kept.size == (64, 40)


def test_an_enlarged_image_has_its_labels_and_mask_in_its_own_pixels(
    done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    net = {"name": "builtin:demo/controlnet-canny"}
    upscaled = Recipe.model_validate(metadata.recipe.model_dump() | {"upscale": {"net": net, "factor": 2}, "steps": 4})
    labels = Labels((Box(1.0, 2.0, 30.0, 20.0, "cat", 0, 1.0),), None, mask_visible=1.0)
    canvas = {"padding": {"top": 16, "bottom": 8}, "labels": labels, "mask": png(np.ones((40, 64), np.uint8))}
    record = records(tmp_path, replace(metadata, recipe=upscaled), edit(done, canvas=canvas), failed, keep_maps=True)[0]
    assert (record["width"], record["height"], record["padding"]["top"]) == (128, 80, 32)
    assert [record["labels"]["boxes"][0][side] for side in "xywh"] == [2, 4, 60, 40]
    assert record["transform"]["scale_x"] == 2 * done.canvas.transform.scale_x
    for uri, size in ((record["label_mask_uri"], (128, 80)), (record["controls"][0]["uri"], (64, 40))):
        with Image.open(tmp_path / uri) as image:
            assert image.size == size


def test_in_mode_maps_the_maps_are_kept_and_there_is_no_image(
    decoded: Decoded, done: Encoded, failed: Failed, metadata: RunMetadata, tmp_path: Path
) -> None:
    only_maps = replace(metadata, recipe=metadata.recipe.model_copy(update={"mode": "maps"}))
    mapped = edit(mapped_row(decoded, *done.maps), planned={"unit": UNIT, "key": KEYS[0]})
    record = records(tmp_path, only_maps, mapped, failed)[0]
    assert (record["status"], record["uri"], record["device"], record["width"]) == ("done", None, None, 64)
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 3
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("photo_id", "name"),
    [
        ("a/b c.jpg", "a-b-c-jpg-0123456789-v2"),
        ("../../etc/passwd", "etc-passwd-0123456789-v2"),
        ("写真", "photo-0123456789-v2"),
        ("x" * 300, "x" * 60 + "-0123456789-v2"),
        ("..", "photo-0123456789-v2"),
    ],
)
def test_file_names_are_valid_for_any_photo_id(photo_id: str, name: str) -> None:
    assert image_name(planned_row(photo_id=photo_id, key="0123456789abcdef", variant=2)) == name
