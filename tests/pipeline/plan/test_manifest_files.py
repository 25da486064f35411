"""The files of a manifest: one file, a folder, a glob or partitions, in three formats."""

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import (
    ColumnTypeError,
    DuplicateColumnError,
    ManifestFormatError,
    ManifestNotFoundError,
    ManifestSchemaError,
)
from pipeline.plan.manifest_files import find_files, is_photo_folder
from tests.pipeline.plan.test_manifest import read, write


def test_a_file_a_folder_and_a_glob_are_read(tmp_path: Path) -> None:
    one = write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=["cat"])
    write(tmp_path / "_hidden.parquet", photo_id=["c"], uri=["/c.jpg"])
    assert [row["photo_id"] for row in read(one)] == ["a"]
    assert [row["photo_id"] for row in read(str(tmp_path))] == ["a", "b"]
    assert [row["label"] for row in read(f"{tmp_path}/[12].parquet")] == [None, "cat"]


def test_a_name_with_wildcards_is_a_file_if_it_exists(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1]*" / "m?.parquet", photo_id=["a"], uri=["x.jpg"])
    assert [row["uri"] for row in read(path)] == [f"{tmp_path}/a[1]*/x.jpg"]


def test_relative_uris_are_based_on_the_folder_of_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = ["x/1.jpg", "/x/2.jpg", "s3://b/3.jpg", None, "", "c::4"]
    ids = list("abcdef")
    write(tmp_path / "in" / "m.parquet", photo_id=ids, uri=uris, depth_uri=["d.png", *[None] * 5])
    monkeypatch.chdir(tmp_path)
    for name in (f"{tmp_path}/in/m.parquet", "in/m.parquet", "in", "./in/*.parquet"):
        rows = read(name)
        assert [row["uri"] for row in rows] == [f"{tmp_path}/in/x/1.jpg", *uris[1:5], f"{tmp_path}/in/c::4"]
        assert [row["depth_uri"] for row in rows] == [f"{tmp_path}/in/d.png", *[None] * 5]


def test_a_partitioned_folder_has_the_columns_of_its_names(tmp_path: Path) -> None:
    for day, name in (("2026-01-01", "a"), ("2026-01-02", "b")):
        write(tmp_path / f"day={day}" / "kind=x y" / "p.parquet", photo_id=[name], uri=[f"{name}.jpg"])
    write(tmp_path / "other" / "p.parquet", photo_id=["c"], uri=["/c.jpg"])
    rows = read(str(tmp_path))
    assert [(row["photo_id"], str(row["day"]), row["kind"]) for row in rows] == [
        ("a", "2026-01-01", "x y"),
        ("b", "2026-01-02", "x y"),
    ]
    assert rows[1]["uri"] == f"{tmp_path}/day=2026-01-02/kind=x y/b.jpg"


def test_folders_above_the_manifest_have_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "width=7" / "photo_id=x"
    path = write(folder / "m.parquet", photo_id=["a"], uri=["a.jpg"], width=[640])
    write(tmp_path / "day=1" / "day=2" / "m.parquet", photo_id=["b"], uri=["b.jpg"])
    write(tmp_path / "day=1" / "day=__HIVE_DEFAULT_PARTITION__" / "m.parquet", photo_id=["c"], uri=["c.jpg"])
    for name in (path, str(folder), f"{folder}/*.parquet"):
        assert [(row["photo_id"], row["width"]) for row in read(name)] == [("a", 640)]
    for name in (f"{tmp_path}/day=1", f"{tmp_path}/day=1/day=*/*.parquet"):
        assert [(row["photo_id"], row["day"]) for row in read(name)] == [("b", "2"), ("c", None)]


def test_partitions_must_fit_together(tmp_path: Path) -> None:
    write(tmp_path / "day=1" / "m.parquet", photo_id=["a"], uri=["a.jpg"])
    write(tmp_path / "month=1" / "m.parquet", photo_id=["b"], uri=["b.jpg"])
    with pytest.raises(ManifestSchemaError):
        read(str(tmp_path))
    write(tmp_path / "other" / "Uri=1" / "m.parquet", photo_id=["a"], uri=["a.jpg"])
    with pytest.raises(DuplicateColumnError):
        read(str(tmp_path / "other"))


@pytest.mark.parametrize("name", ["m*", "m?", "m[1]", "m[*]"])
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("root", ["", "memory://wildcards"])
def test_wildcards_in_the_name_of_an_existing_file_match_no_other_file(
    tmp_path: Path, name: str, ending: str, root: str
) -> None:
    contents = {
        "csv": "photo_id,uri\n{0},{0}.jpg\n",
        "jsonl": '{{"photo_id": "{0}", "uri": "{0}.jpg"}}\n',
    }
    for each in ("m1", name):
        path = f"{root or tmp_path}/{each}.{ending}"
        if ending == "parquet":
            storage.put_table(path, pa.table({"photo_id": [each], "uri": [f"{each}.jpg"]}))
        else:
            storage.put(path, contents[ending].format(each).encode())
    assert [row["photo_id"] for row in read(path)] == [name]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv"])
def test_csv_is_read_with_the_types_of_known_columns(tmp_path: Path, ending: str) -> None:
    separator = "\t" if ending == "tsv" else ","
    box = '"[{""x"": 1, ""y"": 2, ""w"": 3, ""h"": 4, ""category"": ""cat""}]"'
    lines = [["photo_id", "uri", "width", "etag", "boxes", "note", "score"]]
    lines += [["007", "a.jpg", "640", "0123", box, "plain", "1.50"], ["008", "", "", "", "", "", "2"]]
    text = "\n".join(separator.join(line) for line in lines) + "\n"
    path = tmp_path / f"m.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    first, second = read(str(path))
    assert (first["photo_id"], first["uri"], first["width"]) == ("007", f"{tmp_path}/a.jpg", 640)
    assert (first["etag"], first["score"], first["note"]) == ("0123", "1.50", "plain")
    assert first["boxes"] == [{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "cat"}]
    assert (second["photo_id"], second["uri"], second["width"]) == ("008", None, None)


@pytest.mark.parametrize("header", ["photo_id,uri,uri", "photo_id;uri;URI", '"Photo_id","uri","photo_id"'])
def test_a_duplicate_column_of_a_csv_file_is_refused(tmp_path: Path, header: str) -> None:
    separator = ";" if ";" in header else ","
    (tmp_path / "1.csv").write_text("photo_id,uri\na,/a.jpg\n")
    (tmp_path / "2.csv").write_text(f"{header}\n{separator.join('bcd')}\n")
    with pytest.raises(DuplicateColumnError, match=r"2\.csv"):
        read(f"{tmp_path}/*.csv")
    assert [row["photo_id"] for row in read(str(tmp_path / "1.csv"))] == ["a"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("width", "640.5"),
        ("height", "tall"),
        ("modified", "yesterday"),
        ("boxes", '"[{""x"": 1, ""lable"": ""cat""}]"'),
        ("keypoints", "1 2"),
    ],
)
def test_an_invalid_value_in_a_late_row_of_a_csv_file_is_refused(tmp_path: Path, column: str, value: str) -> None:
    rows = [f"{number},/p/{number}," for number in range(30_000)]
    (tmp_path / "m.csv").write_text("\n".join([f"photo_id,uri,{column}", *rows, f"x,/x,{value}"]) + "\n")
    with pytest.raises(ColumnTypeError, match="row 30000"):
        read(str(tmp_path / "m.csv"))


def test_the_values_of_a_csv_file_stay_as_they_are_written(tmp_path: Path) -> None:
    content = '\ufeff2,photo_id,uri,day\r\n007,a,/a.jpg,01/02/2026\r\n1e3,b,/b.jpg," x"\r\n'
    (tmp_path / "m.csv").write_bytes(content.encode())
    assert [(row["2"], row["day"]) for row in read(str(tmp_path / "m.csv"))] == [("007", "01/02/2026"), ("1e3", " x")]


def test_no_row_of_a_csv_file_is_a_comment(tmp_path: Path) -> None:
    rows = [f"#{number},/p/{number},plain" for number in range(4)]
    rows += [f"p{number},/p/{number},#best photo" for number in range(6)]
    (tmp_path / "m.csv").write_text("\n".join(["photo_id,uri,prompt", *rows]) + "\n")
    found = read(str(tmp_path / "m.csv"))
    assert len(found) == 10
    assert [row["prompt"] for row in found] == ["plain"] * 4 + ["#best photo"] * 6


def test_files_of_several_formats_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "m1.parquet", photo_id=["a"], uri=["/a.jpg"])
    (tmp_path / "m2.csv").write_text("photo_id,uri\nb,/b.jpg\n")
    with pytest.raises(ManifestFormatError):
        find_files(f"{tmp_path}/m*")
    assert find_files(str(tmp_path)).format == "parquet"


def test_a_folder_without_parquet_files_is_a_photo_folder(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    write(tmp_path / "parts" / "a=1" / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "metadata.csv").write_text("file_name,text\na.jpg,x\n")
    assert is_photo_folder(str(photos))
    assert is_photo_folder(str(tmp_path / "labels"))
    assert not is_photo_folder(str(tmp_path))
    assert not is_photo_folder(str(tmp_path / "parts"))
    assert not is_photo_folder(str(tmp_path / "1.parquet"))
    with pytest.raises(ManifestNotFoundError):
        find_files(str(tmp_path / "labels"))


def test_files_of_a_bucket_are_read(bucket: str) -> None:
    for number in range(3):
        table = pa.table({"photo_id": [f"p{number}"], "uri": [f"p{number}.jpg"]})
        storage.put_table(f"{bucket}/manifests/day={number}/m.parquet", table)
    rows = read(f"{bucket}/manifests")
    assert [(row["photo_id"], row["day"]) for row in rows] == [("p0", "0"), ("p1", "1"), ("p2", "2")]
    assert rows[0]["uri"] == f"{bucket}/manifests/day=0/p0.jpg"
    assert os.environ["AWS_ENDPOINT_URL"] not in str(rows)
