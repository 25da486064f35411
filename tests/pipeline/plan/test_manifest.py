"""Manifests: checks of columns and ids, and a view with the documented types."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import (
    ColumnCaseError,
    ColumnTypeError,
    DuplicateColumnError,
    DuplicateIdError,
    ManifestFormatError,
    ManifestNotFoundError,
    ManifestSchemaError,
    MissingColumnError,
    MissingIdError,
    NoPhotosError,
)
from pipeline.plan.manifest import open_manifest
from pipeline.storage.database import open_database
from schemas.detectors import CannySettings
from schemas.manifest import KNOWN

BOX = {"x": 1, "y": 2, "w": 3, "h": 4}


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def read(uri: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of the view of a manifest."""
    with open_database() as database:
        open_manifest(uri, database, limit)
        rows: list[dict[str, Any]] = database.table("FROM manifest").to_pylist()
        return rows


def read_columns(folder: Path, **columns: Any) -> list[dict[str, Any]]:
    """Return the rows of the view of a manifest with two photos and further columns."""
    return read(write(folder / "m.parquet", photo_id=["a", "b"], uri=["/a.jpg", "/b.jpg"], **columns))


def test_missing_optional_columns_are_null(tmp_path: Path) -> None:
    with open_database() as database:
        path = write(tmp_path / "m.parquet", photo_id=["a", "b"], uri=["x", None], note=pa.nulls(2))
        manifest = open_manifest(path, database)
        table = database.table("FROM manifest")
    assert table.column_names == [*KNOWN.names, "note"]
    assert table["width"].null_count == 2
    assert (manifest.rows, manifest.filled) == (2, {"photo_id", "uri"})


def test_known_columns_are_converted_to_their_types(tmp_path: Path) -> None:
    with open_database() as database:
        columns = {"width": pa.array([640, None], pa.int64()), "height": [480.0, float("nan")], "bytes": ["7", None]}
        dated = {
            "modified": pa.array([1, None], pa.timestamp("ns")),
            "label": [3, 4],
            "pose_keypoints": [[[1, 2, 2]], []],
        }
        open_manifest(write(tmp_path / "m.parquet", photo_id=["a", "b"], uri=["x", "y"], **columns, **dated), database)
        table = database.table("FROM manifest")
    assert table.select(["width", "height", "bytes", "label"]).to_pylist() == [
        {"width": 640, "height": 480, "bytes": 7, "label": 3},
        {"width": None, "height": None, "bytes": None, "label": 4},
    ]
    for name in ("width", "bytes", "pose_keypoints"):
        assert table.schema.field(name).type == KNOWN.field(name).type
    assert str(table["modified"][0].as_py()) == "1970-01-01 00:00:00+00:00"


def test_the_category_of_a_box_is_optional_and_may_be_a_number(tmp_path: Path) -> None:
    numbered, nothing = read_columns(tmp_path, boxes=[[BOX | {"category": 7}], None])
    assert numbered["boxes"] == [{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "7"}]
    assert nothing["boxes"] is None
    unnamed, _ = read_columns(tmp_path, boxes=[[BOX], []])
    assert unnamed["boxes"][0]["category"] is None


def test_dictionary_encoded_text_is_accepted_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", photo_id=pa.array(["a", "b"]).dictionary_encode(), uri=["/x", "/y"])
    assert [row["photo_id"] for row in read(path)] == ["a", "b"]


def test_maps_of_detectors_that_the_run_does_not_use_are_extra_columns(tmp_path: Path) -> None:
    columns = {"seg_uri": ["s.png"], "canny_uri": ["c.png"], "depth_uri": pa.nulls(1, pa.string()), "filename": ["f"]}
    with open_database() as database:
        manifest = open_manifest(write(tmp_path / "m.parquet", photo_id=["a"], uri=["x"], **columns), database)
    assert manifest.extra_columns([CannySettings()]) == ["seg_uri", "filename"]


def test_credentials_of_addresses_are_found(tmp_path: Path) -> None:
    for uri, found in (("/a.jpg", False), ("https://h/a?sig=1", True), ("s3://k:v@b/a", True)):
        with open_database() as database:
            path = write(tmp_path / "m.parquet", photo_id=["a"], uri=[uri], mask_uri=pa.nulls(1))
            assert open_manifest(path, database).has_credentials == found


def test_a_limit_takes_the_first_photos(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", photo_id=["c", "b", "a"], uri=["/c", "/b", "/a"])
    assert [row["photo_id"] for row in read(path, 2)] == ["c", "b"]


@pytest.mark.parametrize(
    ("columns", "expected", "data"),
    [
        ({"uri": ["x"]}, MissingColumnError, "'photo_id'"),
        ({"photo_id": ["x"]}, MissingColumnError, "'uri'"),
        ({"photo_id": ["x"], "URI": ["x"]}, MissingColumnError, "'uri'"),
        ({"photo_id": [1], "uri": ["x"]}, ColumnTypeError, "'photo_id' .* BIGINT, not VARCHAR"),
        ({"photo_id": ["a", "b"], "uri": ["x", "y"], "width": ["5", "wide"]}, ColumnTypeError, "'width' .*row 1: wide"),
        ({"photo_id": ["a"], "uri": ["x"], "width": [1.5]}, ColumnTypeError, "'width' .*row 0: 1.5"),
        ({"photo_id": ["a"], "uri": ["x"], "width": [2**40]}, ColumnTypeError, "'width' .*row 0: 1099511627776"),
        ({"photo_id": ["a"], "uri": ["x"], "width": [[5]]}, ColumnTypeError, "'width' .*BIGINT"),
        ({"photo_id": ["a"], "uri": ["x"], "pose_keypoints": [3.5]}, ColumnTypeError, "'pose_keypoints' .* DOUBLE"),
        ({"photo_id": ["a"], "uri": ["x"], "boxes": [[[1, 2, 3, 4]]]}, ColumnTypeError, "'boxes' .* BIGINT"),
        ({"photo_id": ["a"], "uri": ["x"], "boxes": [[{"left": 1}]]}, ColumnTypeError, "'boxes' .* STRUCT"),
        ({"photo_id": ["a"], "uri": ["x"], "boxes": [[{"x": 1, "lable": "cat"}]]}, ColumnTypeError, "lable"),
        ({"photo_id": ["a"], "uri": ["x"], "mask_uri": [3]}, ColumnTypeError, "'mask_uri' .* BIGINT, not VARCHAR"),
        ({"photo_id": ["a"], "uri": ["x"], "Prompt": ["x"]}, ColumnCaseError, "'Prompt'"),
        ({"photo_id": ["a"], "uri": ["x"], "MASK_uri": ["x"]}, ColumnCaseError, "'MASK_uri'"),
        ({"photo_id": ["a", None], "uri": ["x", "y"]}, MissingIdError, "row 1 "),
        ({"photo_id": [""], "uri": ["x"]}, MissingIdError, "row 0 "),
        ({"photo_id": pa.array([], pa.string()), "uri": pa.array([], pa.string())}, NoPhotosError, ""),
        ({"photo_id": ["a", "b", "a"], "uri": ["x", "y", "z"]}, DuplicateIdError, "'a' .* 2 rows"),
    ],
)
def test_an_invalid_manifest_is_refused_in_one_line(
    tmp_path: Path, columns: dict[str, Any], expected: type[Exception], data: str
) -> None:
    with pytest.raises(expected, match=f"m.parquet: .*{data}") as caught:
        read(write(tmp_path / "m.parquet", **columns))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.parquet", ManifestNotFoundError),
        ("x*.parquet", ManifestNotFoundError),
        ("text.parquet", ManifestFormatError),
        ("text.txt", ManifestFormatError),
    ],
)
def test_an_unreadable_manifest_is_refused_in_one_line(tmp_path: Path, name: str, expected: type[Exception]) -> None:
    (tmp_path / "text.parquet").write_text("text")
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(expected, match=re.escape(name)) as caught:
        read(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", [[[1]], [1], [{"a": 1}]])
def test_a_column_of_different_types_is_refused(tmp_path: Path, other: list[Any]) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"], label=["x"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=other)
    with pytest.raises(ManifestSchemaError, match="'label'"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    "names", [["photo_id", "uri", "uri"], ["photo_id", "uri", "Uri"], ["photo_id", "uri", "PHOTO_ID"]]
)
def test_a_duplicate_column_is_refused(tmp_path: Path, names: list[str]) -> None:
    columns = [pa.array(["a"]), pa.array([["/a.jpg"]]), pa.array(["/b.jpg"])]
    pq.write_table(pa.Table.from_arrays(columns, names), tmp_path / "m.parquet")
    with pytest.raises(DuplicateColumnError, match=f"'{names[2]}'"):
        read(str(tmp_path / "m.parquet"))


@pytest.mark.parametrize("column", ["photo_id", "uri", "mask_uri"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, column: str) -> None:
    offsets = pa.py_buffer(np.array([0, 1], np.int32).tobytes())
    text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    columns = {"photo_id": pa.array(["a"]), "uri": pa.array(["/a.jpg"])} | {column: text}
    with pytest.raises(ManifestFormatError, match=r"m\.parquet"):
        read(write(tmp_path / "m.parquet", **columns))


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", photo_id=["a"], uri=["/a.jpg"])
    content = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(content[:4] + bytes([255] * 40) + content[44:])
    with pytest.raises(ManifestFormatError):
        read(str(tmp_path / "m.parquet"))


def test_a_manifest_in_another_file_system_is_read() -> None:
    storage.put_table("memory://manifests/m.parquet", pa.table({"photo_id": ["a"], "uri": ["a.jpg"]}))
    (row,) = read("memory://manifests/m.parquet")
    assert row["uri"] == "memory:///manifests/a.jpg"


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}, lambda value: [{"a": value}]])
def test_a_column_that_is_nested_too_deeply_is_refused(tmp_path: Path, wrap: Callable[[object], object]) -> None:
    value: object = 1
    for _ in range(100):
        value = wrap(value)
    with pytest.raises(ColumnTypeError, match="note"):
        read_columns(tmp_path, note=[value, value])
