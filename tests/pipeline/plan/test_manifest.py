"""Manifests: reading Parquet files, and checking columns and ids."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import (
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
from pipeline.plan.manifest import check_manifest, extra_columns, is_photo_folder, read_manifest
from schemas.detectors import CannySettings
from schemas.manifest import KNOWN


def write(path: Path, **columns: list[object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_read_manifest_accepts_a_file_a_folder_and_a_glob(tmp_path: Path) -> None:
    one = write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=["cat"])
    write(tmp_path / "_hidden.parquet", photo_id=["c"], uri=["/c.jpg"])
    assert read_manifest(one)["photo_id"].to_pylist() == ["a"]
    assert read_manifest(str(tmp_path))["photo_id"].to_pylist() == ["a", "b"]
    assert read_manifest(f"{tmp_path}/[12].parquet")["label"].to_pylist() == [None, "cat"]


def test_relative_uris_are_based_on_the_folder_of_the_manifest(tmp_path: Path) -> None:
    uris = ["x/1.jpg", "/x/2.jpg", "s3://b/3.jpg", None]
    path = write(tmp_path / "m.parquet", photo_id=["a", "b", "c", "d"], uri=uris, depth_uri=["d.png", None, None, None])
    table = read_manifest(path)
    assert table["uri"].to_pylist() == [f"{tmp_path}/x/1.jpg", *uris[1:]]
    assert table["depth_uri"].to_pylist() == [f"{tmp_path}/d.png", None, None, None]


def test_a_folder_with_parquet_files_is_not_a_photo_folder(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    assert is_photo_folder(str(photos))
    assert not is_photo_folder(str(tmp_path))
    assert not is_photo_folder(str(tmp_path / "1.parquet"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.parquet", ManifestNotFoundError),
        ("x*.parquet", ManifestNotFoundError),
        ("text.parquet", ManifestFormatError),
    ],
)
def test_an_unreadable_manifest_is_refused_in_one_line(tmp_path: Path, name: str, expected: type[Exception]) -> None:
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(expected, match=re.escape(name)) as caught:
        read_manifest(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"], label=["x"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=[[1]])
    with pytest.raises(ManifestSchemaError):
        read_manifest(str(tmp_path))


def test_missing_optional_columns_are_added_with_their_types() -> None:
    table = check_manifest(pa.table({"photo_id": ["a", "b"], "uri": ["x", None]}), "m")
    assert table.schema.names == KNOWN.names
    assert table.schema.field("width").type == pa.int32()
    assert table["width"].null_count == 2


def test_unknown_columns_are_kept_unchanged() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "label": [3], "width": pa.array([640], pa.int64())}), "m"
    )
    assert extra_columns(table) == ["label"]
    assert table["label"].to_pylist() == [3]
    assert table.schema.field("width").type == pa.int32()


def test_maps_of_detectors_that_the_run_does_not_use_are_extra_columns() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "seg_uri": ["s.png"], "canny_uri": ["c.png"]}), "m"
    )
    assert extra_columns(table, [CannySettings()]) == ["seg_uri"]


def test_the_category_of_a_box_is_optional_and_may_be_a_number() -> None:
    box = {"x": 1, "y": 2, "w": 3, "h": 4}
    ids = {"photo_id": ["a", "b"], "uri": ["x", "y"]}
    numbered = check_manifest(pa.table({**ids, "boxes": [[box | {"category": 7}], None]}), "m")["boxes"].to_pylist()
    assert numbered == [[{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "7"}], None]
    assert check_manifest(pa.table({**ids, "boxes": [[box], []]}), "m")["boxes"][0].as_py()[0]["category"] is None


def test_dictionary_encoded_text_is_accepted_as_text() -> None:
    ids = pa.array(["a", "b"]).dictionary_encode()
    assert check_manifest(pa.table({"photo_id": ids, "uri": ["x", "y"]}), "m")["photo_id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "expected", "data"),
    [
        ({"uri": ["x"]}, MissingColumnError, "'photo_id'"),
        ({"photo_id": ["x"]}, MissingColumnError, "'uri'"),
        ({"photo_id": [1], "uri": ["x"]}, ColumnTypeError, "'photo_id' .* int64, not string"),
        ({"photo_id": ["a"], "uri": ["x"], "width": ["wide"]}, ColumnTypeError, "'width' .* string, not int32"),
        ({"photo_id": ["a"], "uri": ["x"], "pose_keypoints": [3.5]}, ColumnTypeError, "'pose_keypoints' .* double"),
        ({"photo_id": ["a"], "uri": ["x"], "boxes": [[[1, 2, 3, 4]]]}, ColumnTypeError, "'boxes' .* list"),
        ({"photo_id": ["a"], "uri": ["x"], "mask_uri": [3]}, ColumnTypeError, "'mask_uri' .* int64, not string"),
        ({"photo_id": ["a", None], "uri": ["x", "y"]}, MissingIdError, "row 1 "),
        ({"photo_id": [""], "uri": ["x"]}, MissingIdError, "row 0 "),
        ({"photo_id": pa.array([], pa.string()), "uri": pa.array([], pa.string())}, NoPhotosError, ""),
        ({"photo_id": ["a", "b", "a"], "uri": ["x", "y", "z"]}, DuplicateIdError, "'a' .* 2 rows"),
    ],
)
def test_an_invalid_manifest_is_refused_in_one_line(
    columns: dict[str, list[object]], expected: type[Exception], data: str
) -> None:
    with pytest.raises(expected, match=f"^m.parquet: .*{data}") as caught:
        check_manifest(pa.table(columns), "m.parquet")
    assert "\n" not in str(caught.value)


def test_a_duplicate_column_of_a_file_is_refused(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["/a.jpg"]), pa.array(["/b.jpg"])]
    pq.write_table(pa.Table.from_arrays(columns, ["photo_id", "uri", "uri"]), tmp_path / "m.parquet")
    with pytest.raises(DuplicateColumnError, match="'uri'"):
        read_manifest(str(tmp_path / "m.parquet"))


@pytest.mark.parametrize("column", ["photo_id", "uri", "note"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, column: str) -> None:
    offsets = pa.py_buffer(np.array([0, 1], np.int32).tobytes())
    text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    table = {"photo_id": pa.array(["a"]), "uri": pa.array(["/a.jpg"])} | {column: text}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    with pytest.raises(ManifestFormatError, match=r"m\.parquet"):
        read_manifest(str(tmp_path / "m.parquet"))


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", photo_id=["a"], uri=["/a.jpg"])
    content = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(content[:4] + bytes([255] * 40) + content[44:])
    with pytest.raises(ManifestFormatError):
        read_manifest(str(tmp_path / "m.parquet"))


def test_a_duplicate_column_is_refused() -> None:
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["x"]), pa.array([1]), pa.array([2])], ["photo_id", "uri", "n", "n"]
    )
    with pytest.raises(DuplicateColumnError, match="'n'"):
        check_manifest(table, "m")
