"""Manifests: listed from pictures by their headers, read from one file, many, or a glob."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import storage
from pipeline.errors import ManifestError
from pipeline.images.photo import ORIENTATION_TAG
from pipeline.plan import manifest as module
from pipeline.plan.manifest import check_manifest, extra_columns, is_photo_folder, list_photos, read_manifest
from schemas.detectors import CannySettings
from schemas.manifest import KNOWN


def write(path: Path, **columns: list[object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_a_folder_is_listed_by_headers_upright(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "deep" / "turned.jpg", exif=exif)
    Image.new("RGB", (20, 10)).save(tmp_path / "Wide.PNG")
    (tmp_path / "broken.jpg").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no photo")
    seen: list[tuple[int, int]] = []
    listed = list_photos(str(tmp_path), lambda done, photos: seen.append((done, photos)))
    assert listed.select(["photo_id", "width", "height"]).to_pylist() == [
        {"photo_id": "Wide.PNG", "width": 20, "height": 10},
        {"photo_id": "broken.jpg", "width": None, "height": None},
        {"photo_id": "deep/turned.jpg", "width": 30, "height": 40},
    ]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    row = listed.to_pylist()[0]
    assert (row["uri"], row["bytes"]) == (f"{tmp_path}/Wide.PNG", (tmp_path / "Wide.PNG").stat().st_size)
    assert row["modified"].timestamp() == pytest.approx((tmp_path / "Wide.PNG").stat().st_mtime, abs=1e-5)


def test_pixels_are_not_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_image: Image.Image) -> None:
        raise AssertionError

    monkeypatch.setattr(Image.Image, "load", refuse)
    assert list_photos(str(photos))["width"].null_count == 0


def test_what_stands_unchanged_in_the_last_listing_is_not_read_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list_photos(str(photos))
    monkeypatch.setattr(module.Image, "open", lambda *_: pytest.fail("read again"))
    assert list_photos(str(photos), known=first) == first


def test_the_output_within_the_folder_is_not_listed(tmp_path: Path) -> None:
    for name in ("a.png", "out/images/u/a.png", "outside.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    listed = list_photos(str(tmp_path), skip=str(tmp_path / "out"))
    assert listed["photo_id"].to_pylist() == ["a.png", "outside.png"]


def test_a_folder_without_pictures_is_said(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no picture there"):
        list_photos(str(tmp_path))


def test_memory_addresses_are_listed_in_full() -> None:
    storage.put("memory://listing/a.png", b"not read")
    assert list_photos("memory://listing")["uri"].to_pylist() == ["memory:///listing/a.png"]


def test_one_file_a_folder_and_a_glob_are_read(tmp_path: Path) -> None:
    one = write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=["cat"])
    write(tmp_path / "_hidden.parquet", photo_id=["c"], uri=["/c.jpg"])
    assert read_manifest(one)["photo_id"].to_pylist() == ["a"]
    assert read_manifest(str(tmp_path))["photo_id"].to_pylist() == ["a", "b"]
    assert read_manifest(f"{tmp_path}/[12].parquet")["label"].to_pylist() == [None, "cat"]


def test_relative_uris_start_at_their_manifests_folder(tmp_path: Path) -> None:
    uris = ["x/1.jpg", "/x/2.jpg", "s3://b/3.jpg", None]
    path = write(tmp_path / "m.parquet", photo_id=["a", "b", "c", "d"], uri=uris, depth_uri=["d.png", None, None, None])
    table = read_manifest(path)
    assert table["uri"].to_pylist() == [f"{tmp_path}/x/1.jpg", *uris[1:]]
    assert table["depth_uri"].to_pylist() == [f"{tmp_path}/d.png", None, None, None]


def test_what_was_listed_can_be_written_and_read(photos: Path, tmp_path: Path) -> None:
    listed = list_photos(str(photos))
    storage.put_table(str(tmp_path / "m.parquet"), listed)
    assert read_manifest(str(tmp_path / "m.parquet")).select(listed.column_names).to_pylist() == listed.to_pylist()


def test_a_folder_of_pictures_is_told_from_one_of_manifests(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"])
    assert is_photo_folder(str(photos))
    assert not is_photo_folder(str(tmp_path))
    assert not is_photo_folder(str(tmp_path / "1.parquet"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.parquet", "not found"), ("x*.parquet", "no Parquet file there"), ("text.parquet", "no Parquet file")],
)
def test_what_is_no_manifest_is_said_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ManifestError, match=said) as caught:
        read_manifest(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_files_that_disagree_are_said(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", photo_id=["a"], uri=["/a.jpg"], label=["x"])
    write(tmp_path / "2.parquet", photo_id=["b"], uri=["/b.jpg"], label=[[1]])
    with pytest.raises(ManifestError, match="columns do not agree"):
        read_manifest(str(tmp_path))


def test_two_columns_are_enough_and_the_known_ones_come_back_typed() -> None:
    table = check_manifest(pa.table({"photo_id": ["a", "b"], "uri": ["x", None]}), "m")
    assert table.schema.names == KNOWN.names
    assert table.schema.field("width").type == pa.int32()
    assert table["width"].null_count == 2


def test_further_columns_stay_as_they_are() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "label": [3], "width": pa.array([640], pa.int64())}), "m"
    )
    assert extra_columns(table) == ["label"]
    assert table["label"].to_pylist() == [3]
    assert table.schema.field("width").type == pa.int32()


def test_maps_of_detectors_that_a_run_does_not_have_are_further_columns() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "seg_uri": ["s.png"], "canny_uri": ["c.png"]}), "m"
    )
    assert extra_columns(table, [CannySettings()]) == ["seg_uri"]


def test_boxes_may_lack_a_category_or_number_it() -> None:
    box = {"x": 1, "y": 2, "w": 3, "h": 4}
    ids = {"photo_id": ["a", "b"], "uri": ["x", "y"]}
    named = check_manifest(pa.table({**ids, "boxes": [[box | {"category": 7}], None]}), "m")["boxes"].to_pylist()
    assert named == [[{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "7"}], None]
    assert check_manifest(pa.table({**ids, "boxes": [[box], []]}), "m")["boxes"][0].as_py()[0]["category"] is None


def test_dictionary_encoded_text_is_text() -> None:
    ids = pa.array(["a", "b"]).dictionary_encode()
    assert check_manifest(pa.table({"photo_id": ids, "uri": ["x", "y"]}), "m")["photo_id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"uri": ["x"]}, "column 'photo_id' is missing"),
        ({"photo_id": ["x"]}, "column 'uri' is missing"),
        ({"photo_id": [1], "uri": ["x"]}, "column 'photo_id' holds int64, not string"),
        ({"photo_id": ["a"], "uri": ["x"], "width": ["wide"]}, "column 'width' holds string, not int32"),
        ({"photo_id": ["a"], "uri": ["x"], "pose_keypoints": [3.5]}, "column 'pose_keypoints' holds double"),
        ({"photo_id": ["a"], "uri": ["x"], "boxes": [[[1, 2, 3, 4]]]}, "column 'boxes' holds list"),
        ({"photo_id": ["a"], "uri": ["x"], "mask_uri": [3]}, "column 'mask_uri' holds int64, not string"),
        ({"photo_id": ["a", None], "uri": ["x", "y"]}, "row 1 has no photo_id"),
        ({"photo_id": [""], "uri": ["x"]}, "row 0 has no photo_id"),
        ({"photo_id": pa.array([], pa.string()), "uri": pa.array([], pa.string())}, "m.parquet: no row"),
        ({"photo_id": ["a", "b", "a"], "uri": ["x", "y", "z"]}, "photo_id 'a' stands in 2 rows"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(columns: dict[str, list[object]], said: str) -> None:
    with pytest.raises(ManifestError, match=said) as caught:
        check_manifest(pa.table(columns), "m.parquet")
    assert str(caught.value).startswith("m.parquet: ")
    assert "\n" not in str(caught.value)


def test_a_doubled_column_is_said() -> None:
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["x"]), pa.array([1]), pa.array([2])], ["photo_id", "uri", "n", "n"]
    )
    with pytest.raises(ManifestError, match="column 'n' stands twice"):
        check_manifest(table, "m")
