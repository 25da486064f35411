"""The files of a manifest: one file, a folder, a glob or partitions, in three formats."""

import gzip
import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import (
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


def test_no_names_of_a_photo_folder_in_a_bucket_are_kept(bucket: str) -> None:
    for name in ("1.jpg", "2.jpg", "a/3.jpg", "_4.parquet"):
        storage.put(f"{bucket}/photo-folder/{name}", b"content")
    assert is_photo_folder(f"{bucket}/photo-folder")
    assert not is_photo_folder(f"{bucket}/photo-folder/1.jpg")
    assert not is_photo_folder(f"{bucket}/photo-folder/none")
    fs, _ = storage.filesystem(bucket)
    assert not any("photo-folder" in folder for folder in fs.dircache)
    storage.put(f"{bucket}/photo-folder/day=1/5.parquet", b"content")
    assert not is_photo_folder(f"{bucket}/photo-folder")


def test_a_manifest_on_a_web_server_is_read(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", photo_id=["a", "b"], uri=["a.jpg", "s3://bucket/b.jpg"])
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(b"photo_id,uri\nc,in/c.jpg\n"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        uris = [row["uri"] for name in ("m.parquet?sig=1", "m.csv.gz") for row in read(f"{host}/{name}")]
        with pytest.raises(ManifestNotFoundError):
            read(f"{host}/none.parquet?sig=1")
        server.shutdown()
    assert uris == [f"{host}/a.jpg", "s3://bucket/b.jpg", f"{host}/in/c.jpg"]
