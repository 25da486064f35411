"""Manifests: what is taken, and the one line that says what is wrong."""

import pyarrow as pa
import pytest

from pipeline.faults import ManifestFault
from schemas.detectors import CannySettings
from schemas.manifest import KNOWN, check_manifest, further_columns


def test_two_columns_are_enough_and_the_known_ones_come_back_typed() -> None:
    table = check_manifest(pa.table({"photo_id": ["a", "b"], "uri": ["x", None]}), "m")
    assert table.schema.names == KNOWN.names
    assert table.schema.field("width").type == pa.int32()
    assert table["width"].null_count == 2


def test_further_columns_stay_as_they_are() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "label": [3], "width": pa.array([640], pa.int64())}), "m"
    )
    assert further_columns(table) == ["label"]
    assert table["label"].to_pylist() == [3]
    assert table.schema.field("width").type == pa.int32()


def test_maps_of_detectors_that_a_run_does_not_have_are_further_columns() -> None:
    table = check_manifest(
        pa.table({"photo_id": ["a"], "uri": ["x"], "seg_uri": ["s.png"], "canny_uri": ["c.png"]}), "m"
    )
    assert further_columns(table, [CannySettings()]) == ["seg_uri"]


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
    with pytest.raises(ManifestFault, match=said) as caught:
        check_manifest(pa.table(columns), "m.parquet")
    assert str(caught.value).startswith("m.parquet: ")
    assert "\n" not in str(caught.value)


def test_a_doubled_column_is_said() -> None:
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["x"]), pa.array([1]), pa.array([2])], ["photo_id", "uri", "n", "n"]
    )
    with pytest.raises(ManifestFault, match="column 'n' stands twice"):
        check_manifest(table, "m")
