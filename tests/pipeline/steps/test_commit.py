"""Committing: pictures first, the record last, and the record says everything."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import storage
from pipeline.errors import RunStoppedError
from pipeline.output.run_file import RunMetadata
from pipeline.plan import plan
from pipeline.steps.commit import Commit, image_name
from pipeline.storage import objects
from schemas.provenance import PROVENANCE
from schemas.recipe import Recipe
from schemas.work import ENCODED, MAPPED, Row

KEYS = ["a" * 64, "b" * 64]


@pytest.fixture
def facts(recipe: Recipe) -> RunMetadata:
    return RunMetadata("run-1", recipe, "0.1.0", "c" * 40)


@pytest.fixture
def unit(decoded: Row) -> pa.Table:
    """Return a unit of two rows, one done and one failed."""
    maps = [
        {"detector": name, "origin": "blank", "sha256": "x", "pixels": bytes(64 * 64 * 3)}
        for name in ("canny", "openpose", "depth")
    ]
    made_by = {"device": "cpu", "dtype": "float32", "models": [], "prompt_chunks": 1}
    name = plan.unit_name(KEYS)
    done = decoded | {"unit": name, "key": KEYS[0], "maps": maps, "made_by": made_by, "picture_bytes": b"a picture"}
    done |= {"uri": "https://u:p@host/a.jpg?sig=1", "attempts": 2, "source_sha256": "d" * 64}
    failure = {"stage": "fetch", "error": "FetchError", "message": "gone", "attempts": 3, "retryable": True}
    failed = decoded | {"unit": name, "key": KEYS[1], "photo_id": "other", "failure": failure, "uri": None}
    return pa.Table.from_pylist([done, failed], ENCODED)


def test_the_record_names_the_picture_and_the_failure(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    committed = Commit(str(tmp_path), facts)(unit).to_pylist()
    assert [row["failed"] for row in committed] == [False, True]
    table = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet")
    assert table.schema == PROVENANCE
    done, failed = table.to_pylist()
    assert (tmp_path / done["uri"]).read_bytes() == b"a picture"
    assert done["sha256"] == hashlib.sha256(b"a picture").hexdigest()
    assert (done["status"], done["bytes"], done["source_uri"], done["attempts"]) == ("done", 9, "https://host/a.jpg", 2)
    assert (done["run_id"], done["git_commit"], done["recipe_digest"]) == ("run-1", "c" * 40, None)
    assert json.loads(done["settings"])["steps"] == facts.recipe.steps
    assert done["controls"][0]["net"] == "builtin:demo/controlnet-canny"
    assert done["seconds"]["commit"] > 0
    assert (failed["status"], failed["uri"], failed["sha256"], failed["width"]) == ("failed", None, None, None)
    assert failed["failure"] == {
        "stage": "fetch",
        "error": "FetchError",
        "message": "gone",
        "attempts": 3,
        "retryable": True,
    }
    assert not (tmp_path / "maps").exists()


def test_doing_a_unit_twice_writes_the_same_files(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    commit = Commit(str(tmp_path), facts, keep_maps=True)
    commit(unit)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    commit(unit)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()) == before
    assert len(before) == 1 + 3 + 1


def test_kept_maps_are_recorded_with_their_digest(unit: pa.Table, facts: RunMetadata) -> None:
    output = "memory://commit-maps"
    Commit(output, facts, keep_maps=True)(unit)
    record = storage.read(f"{output}/provenance/{plan.unit_name(KEYS)}.parquet")
    control = pq.read_table(pa.BufferReader(record)).to_pylist()[0]["controls"][0]
    assert control["file_sha256"] == hashlib.sha256(storage.read(f"{output}/{control['uri']}")).hexdigest()


def test_a_mask_is_put_unless_too_little_of_it_is_left(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    rows = unit.to_pylist()
    rows[0] |= {"mask": b"a mask", "labels": rows[0]["labels"] | {"mask_visible": 0.3}}
    Commit(str(tmp_path), facts)(pa.Table.from_pylist(rows, ENCODED))
    (done, _) = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet").to_pylist()
    assert (tmp_path / done["label_mask_uri"]).read_bytes() == b"a mask"
    assert done["label_mask_sha256"] == hashlib.sha256(b"a mask").hexdigest()
    rows[0]["labels"]["mask_visible"] = 0.2
    Commit(str(tmp_path), facts)(pa.Table.from_pylist(rows, ENCODED))
    (done, _) = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet").to_pylist()
    assert (done["label_mask_uri"], done["labels"]["mask_visible"]) == (None, 0.2)


def test_the_picture_is_the_canvas_without_its_padding(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    rows = unit.to_pylist()
    rows[0]["padding"] = {"left": 0, "top": 16, "right": 0, "bottom": 8}
    Commit(str(tmp_path), facts, keep_maps=True)(pa.Table.from_pylist(rows, ENCODED))
    (done, _) = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet").to_pylist()
    assert (done["width"], done["height"], done["padding"]["top"]) == (64, 40, 16)
    with Image.open(tmp_path / done["controls"][0]["uri"]) as kept:
        assert kept.size == (64, 40)


def test_detected_and_shared_maps_are_counted(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    rows = unit.to_pylist()
    for drawn, origin, cached in zip(
        rows[0]["maps"], ("detected", "detected", "manifest"), (False, True, None), strict=True
    ):
        drawn |= {"origin": origin, "cached": cached}
    committed = Commit(str(tmp_path), facts)(pa.Table.from_pylist(rows, ENCODED))
    assert (committed["detected"].to_pylist(), committed["cached"].to_pylist()) == ([1, 0], [1, 0])


def test_maps_alone_are_kept_and_no_picture(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    alone = replace(facts, recipe=facts.recipe.model_copy(update={"mode": "maps"}))
    mapped = pa.Table.from_pylist(unit.to_pylist(), MAPPED)
    Commit(str(tmp_path), alone)(mapped)
    (done, _) = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet").to_pylist()
    assert (done["status"], done["uri"], done["device"], done["width"]) == ("done", None, None, 64)
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 3
    assert not (tmp_path / "images").exists()


def test_the_record_comes_after_the_pictures(
    unit: pa.Table, facts: RunMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    put_file = objects.put_file
    monkeypatch.setattr(
        objects, "put_file", lambda path, content: (order.append(str(path)), put_file(path, content))[1]
    )
    Commit(str(tmp_path), facts, keep_maps=True)(unit)
    assert [uri.removeprefix(str(tmp_path)).split("/")[1] for uri in order] == [
        "images",
        "maps",
        "maps",
        "maps",
        "provenance",
    ]


def test_several_units_in_one_batch_become_several_records(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    single = unit.slice(0, 1)
    name = plan.unit_name(KEYS[:1])
    single = single.set_column(0, ENCODED.field("unit"), pa.array([name]))
    Commit(str(tmp_path), facts)(pa.concat_tables([unit, single]))
    assert len(list((tmp_path / "provenance").iterdir())) == 2


def test_a_retried_unit_keeps_what_was_done(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    Commit(str(tmp_path), facts)(unit)
    rows = unit.to_pylist()
    failure = rows[1]["failure"]
    mended = rows[1] | {**rows[0], "key": KEYS[1], "photo_id": "other", "picture_bytes": b"mended"}
    gone = rows[0] | {"failure": failure, "picture_bytes": None}  # its source went away meanwhile
    again = Commit(str(tmp_path), facts, keep_done=True)(pa.Table.from_pylist([gone, mended], ENCODED))
    assert again["failed"].to_pylist() == [False, False]
    record = pq.read_table(tmp_path / "provenance" / f"{plan.unit_name(KEYS)}.parquet").to_pylist()
    assert [row["status"] for row in record] == ["done", "done"]
    assert all((tmp_path / row["uri"]).is_file() for row in record)


def test_half_a_unit_is_never_recorded(unit: pa.Table, facts: RunMetadata, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match="came apart"):
        Commit(str(tmp_path), facts)(unit.slice(0, 1))
    assert not (tmp_path / "provenance").exists()


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
def test_names_are_safe_whatever_the_id(photo_id: str, name: str) -> None:
    row: dict[str, Any] = {"photo_id": photo_id, "key": "0123456789abcdef", "variant": 2}
    assert image_name(row) == name
