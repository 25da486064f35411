"""Manifests of JSON lines: all rows decide the types, and text stays text."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ColumnTypeError, DuplicateColumnError, ManifestError
from tests.pipeline.plan.test_manifest import read

UUID = "5E0B4D6E-2D0C-4B0E-9D53-4A3F3A2B1C00"


def rows_of(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Write rows with an id and an address to a manifest, and return what is read."""
    lines = [json.dumps({"photo_id": f"p{number}", "uri": "/a.jpg"} | row) for number, row in enumerate(rows)]
    (folder / "m.jsonl").write_text("\n".join(lines) + "\n")
    return read(str(folder / "m.jsonl"))


def test_nested_values_and_missing_keys_are_read(tmp_path: Path) -> None:
    box = {"x": 1, "y": 2, "w": 3, "h": 4}
    first, second = rows_of(tmp_path, {"pose_keypoints": [[1, 2, 2.5]], "more": {"x": [1]}}, {"boxes": [box]})
    assert (first["pose_keypoints"], first["more"], first["boxes"]) == ([[1.0, 2.0, 2.5]], {"x": [1]}, None)
    assert second["boxes"] == [{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": None}]


@pytest.mark.parametrize("text", [UUID, "2026-1-2", "01:02", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.10", "007"])
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    box = {"x": 1, "y": 2, "w": 3, "h": 4, "category": text}
    nested = {"list": [text], "deep": {'an "odd" key': [{"x": text}]}}
    (row,) = rows_of(tmp_path, {"photo_id": text, "etag": text, "note": text, "nested": nested, "boxes": [box]})
    assert (row["photo_id"], row["etag"], row["note"], row["nested"]) == (text, text, text, nested)
    assert row["boxes"][0]["category"] == text


def test_a_time_is_read_from_text(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, {"modified": "2026-01-02T03:04:05+01:00"}, {"modified": "2026-01-02"})
    assert first["modified"] == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert second["modified"] == datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(ColumnTypeError):
        rows_of(tmp_path, {"modified": "yesterday"})


def test_late_rows_decide_names_and_types_too(tmp_path: Path) -> None:
    many: list[dict[str, Any]] = [{"note": 1}] * 30_000
    *_, last = rows_of(tmp_path, *many, {"note": 1.5, "only_here": "x"})
    assert (last["note"], last["only_here"]) == (1.5, "x")
    with pytest.raises(ColumnTypeError):
        rows_of(tmp_path, *({"width": 640} for _ in range(30_000)), {"width": "wide"})


def test_the_rows_of_many_files_decide_the_types(tmp_path: Path) -> None:
    for number in range(40):
        row = {"photo_id": f"p{number:02d}", "uri": "/a.jpg", **({"late": "2026-01-01"} if number == 39 else {})}
        (tmp_path / f"{number:02d}.jsonl").write_text(json.dumps(row) + "\n")
    assert [row["late"] for row in read(f"{tmp_path}/*.jsonl")] == [None] * 39 + ["2026-01-01"]


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DuplicateColumnError):
        rows_of(tmp_path, {"Title": 1}, {"title": 2})
    (tmp_path / "m.jsonl").write_text('{"photo_id": "a", "uri": "/a.jpg", "note": 1, "note": 2}\n')
    with pytest.raises(ManifestError):
        read(str(tmp_path / "m.jsonl"))


def test_an_unknown_field_of_a_box_is_refused(tmp_path: Path) -> None:
    box = {"x": 1, "y": 2, "w": 3, "h": 4}
    with pytest.raises(ColumnTypeError, match="lable"):
        rows_of(tmp_path, {"boxes": [box]}, {"boxes": [box | {"lable": "cat"}]})


def test_lines_that_are_not_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"photo_id": "a", "uri": "/a.jpg"}\n[1, 2]\n')
    with pytest.raises(ManifestError):
        read(str(tmp_path / "m.jsonl"))
