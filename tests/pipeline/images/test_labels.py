"""Labels: they lie on the new picture where they lay on the photo, and come back; what is gone is left out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabelError
from pipeline.images.geometry import Transform, crop_transform, pad_transform
from pipeline.images.labels import person_points, transform_labels
from schemas.work import Row

NOBODY = np.empty((0, 2))
HALF = crop_transform((512, 256), (64, 64), "crop", NOBODY)  # a fourth of the size; the middle 256 columns are seen
NONE: Row = {"boxes": None, "keypoints": None, "pose_keypoints": None}


def box(x: float, y: float, w: float, h: float, category: str | None = None) -> Row:
    return {"x": x, "y": y, "w": w, "h": h, "category": category}


def labels(transform: Transform, min_visible: float = 0.25, **given_: Any) -> Row:
    return transform_labels(NONE | given_, transform, min_visible)


def test_a_box_is_moved_and_keeps_its_category() -> None:
    (found,) = labels(HALF, boxes=[box(168, 40, 80, 20, "cat")])["boxes"]
    assert found == {"x": 10, "y": 10, "w": 20, "h": 5, "category": "cat", "index": 0, "visible": 1.0}


def test_a_box_is_clipped_and_dropped_below_the_visible_share() -> None:
    boxes = [box(118, 0, 40, 40), box(98, 0, 40, 40), box(0, 0, 90, 40), box(368, 100, 40, 40)]
    found = labels(HALF, boxes=boxes)["boxes"]
    assert [(each["index"], each["visible"]) for each in found] == [(0, 0.75), (1, 0.25), (3, 0.4)]
    assert (found[0]["x"], found[0]["w"]) == (0, 7.5)
    assert labels(HALF, min_visible=0.5, boxes=boxes)["boxes"] == found[:1]


def test_keypoints_outside_become_zeros_and_a_thing_without_any_is_dropped() -> None:
    seen, outside, hidden = (168.0, 40.0, 2.0), (10.0, 40.0, 1.0), (0.0, 0.0, 0.0)
    things = [[*seen, *outside, *hidden], [*outside, *outside], [*hidden], []]
    found = labels(HALF, keypoints=things)["keypoints"]
    assert found == [{"points": [10, 10, 2, 0, 0, 0, 0, 0, 0], "index": 0, "visible": 0.5}]


def test_no_labels_and_an_empty_list_are_two_things() -> None:
    assert labels(HALF) == {"boxes": None, "keypoints": None, "mask_visible": None}
    assert labels(HALF, boxes=[], keypoints=[])["boxes"] == []


@given(
    st.tuples(st.integers(8, 900), st.integers(8, 900)),
    st.sampled_from(["crop", "people", "pad"]),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
)
def test_what_is_not_clipped_comes_back(
    source: tuple[int, int], fit: str, shares: list[tuple[float, float, float, float]]
) -> None:
    transform = pad_transform(source, (128, 64))[0] if fit == "pad" else crop_transform(source, (128, 64), fit, NOBODY)
    starts = np.array(shares)[:, :2] * source
    sides = np.maximum((np.array(source) - starts) * np.array(shares)[:, 2:], 0.5)
    given_ = [box(*start, *side) for start, side in zip(starts.tolist(), sides.tolist(), strict=True)]
    dots = [[*start, 2.0] for start in starts.tolist()]
    found = labels(transform, min_visible=1e-9, boxes=given_, keypoints=dots)
    for each in found["boxes"]:
        corners = np.array([[each["x"], each["y"]], [each["x"] + each["w"], each["y"] + each["h"]]])
        assert (corners >= 0).all()
        assert (corners <= np.array(transform.target) + 1e-9).all()
        if each["visible"] > 1 - 1e-9:
            before = given_[each["index"]]
            (x, y), (right, bottom) = transform.to_photo(corners)
            assert np.allclose((x, y, right - x, bottom - y), [before[name] for name in "xywh"], atol=1e-6)
    for each in found["keypoints"]:
        (back,) = transform.to_photo(np.array([each["points"][:2]]))
        assert np.allclose(back, starts[each["index"]], atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        box(0, 0, 0, 5),
        box(0, 0, 5, -1),
        box(float("nan"), 0, 1, 1),
        box(0, 3e9, 1, 1),
        box(0, 0, 1, float("inf")),
        None,
    ],
)
def test_a_box_that_is_none_is_a_fault(bad: Row | None) -> None:
    with pytest.raises(LabelError, match="boxes: number 1 is no x, y, width and height"):
        labels(HALF, boxes=[box(0, 0, 1, 1), bad])


@pytest.mark.parametrize("bad", [[1.0, 2.0], [1.0, 2.0, float("nan")], [3e9, 0.0, 1.0], [None, 1.0, 1.0]])
def test_keypoints_that_are_none_are_a_fault(bad: list[Any]) -> None:
    with pytest.raises(LabelError, match="keypoints: number 0 is no list of x, y, visibility"):
        labels(HALF, keypoints=[bad])


def test_people_are_where_their_keypoints_or_boxes_are() -> None:
    assert person_points(NONE) is None
    pose = [[10.0, 20.0, 2.0, 0.0, 0.0, 0.0], [30.0, 40.0, 1.0]]
    found = person_points(NONE | {"pose_keypoints": pose, "boxes": [box(0, 0, 5, 5, "person")]})
    assert found is not None
    assert found.tolist() == [[10, 20], [30, 40]]
    found = person_points(NONE | {"boxes": [box(0, 0, 5, 5, "cat"), box(1, 2, 3, 4, "person")]})
    assert found is not None
    assert found.tolist() == [[1, 2], [4, 6]]
    assert person_points(NONE | {"boxes": [box(0, 0, 5, 5, "cat")]}) is None
    nobody = person_points(NONE | {"pose_keypoints": []})
    assert nobody is not None
    assert len(nobody) == 0
