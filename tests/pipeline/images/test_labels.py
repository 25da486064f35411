"""Labels are transformed to the image and back; those that are not visible are left out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidBoxError, InvalidKeypointsError
from pipeline.images.geometry import Transform, crop_transform, pad_transform
from pipeline.images.labels import person_points, transform_labels
from schemas.row_parts import Box, Keypoints, Labels, ManifestBox

NO_POINTS = np.empty((0, 2))
HALF = crop_transform((512, 256), (64, 64), "crop", NO_POINTS)  # at a scale of 1/4, the middle 256 columns


def box(x: float, y: float, w: float, h: float, category: str | None = None) -> ManifestBox:
    return ManifestBox(x, y, w, h, category)


def labels(transform: Transform, boxes: Any = None, keypoints: Any = None, min_visible: float = 0.25) -> Labels:
    return transform_labels(boxes, keypoints, transform, min_visible)


def test_a_box_is_moved_and_keeps_its_category() -> None:
    assert labels(HALF, [box(168, 40, 80, 20, "cat")]).boxes == (Box(10, 10, 20, 5, "cat", 0, 1.0),)


def test_a_box_is_clipped_and_dropped_below_the_visible_share() -> None:
    boxes = [box(118, 0, 40, 40), box(98, 0, 40, 40), box(0, 0, 90, 40), box(368, 100, 40, 40)]
    found = labels(HALF, boxes).boxes or ()
    assert [(each.index, each.visible) for each in found] == [(0, 0.75), (1, 0.25), (3, 0.4)]
    assert (found[0].x, found[0].w) == (0, 7.5)
    assert labels(HALF, boxes, min_visible=0.5).boxes == found[:1]


def test_keypoints_outside_the_image_become_zeros() -> None:
    visible, outside, unlabelled = (168.0, 40.0, 2.0), (10.0, 40.0, 1.0), (0.0, 0.0, 0.0)
    objects = [[*visible, *outside, *unlabelled], [*outside, *outside], [*unlabelled], []]
    found = labels(HALF, keypoints=objects).keypoints
    assert found == (Keypoints((10, 10, 2, 0, 0, 0, 0, 0, 0), 0, 0.5),)


def test_no_labels_differ_from_an_empty_list() -> None:
    assert labels(HALF) == Labels(None, None)
    assert labels(HALF, [], []) == Labels((), ())


@given(
    st.tuples(st.integers(8, 900), st.integers(8, 900)),
    st.sampled_from(["crop", "people", "pad"]),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
)
def test_labels_that_are_not_clipped_can_be_transformed_back(
    source: tuple[int, int], fit: str, shares: list[tuple[float, float, float, float]]
) -> None:
    transform = (
        pad_transform(source, (128, 64))[0] if fit == "pad" else crop_transform(source, (128, 64), fit, NO_POINTS)
    )
    starts = np.array(shares)[:, :2] * source
    sides = np.maximum((np.array(source) - starts) * np.array(shares)[:, 2:], 0.5)
    boxes = [box(*start, *side) for start, side in zip(starts.tolist(), sides.tolist(), strict=True)]
    dots = [[*start, 2.0] for start in starts.tolist()]
    found = labels(transform, boxes, dots, min_visible=1e-9)
    for each in found.boxes or ():
        corners = np.array([[each.x, each.y], [each.x + each.w, each.y + each.h]])
        assert (corners >= 0).all()
        assert (corners <= np.array(transform.target) + 1e-9).all()
        if each.visible > 1 - 1e-9:
            before = boxes[each.index]
            (x, y), (right, bottom) = transform.to_photo(corners)
            assert np.allclose((x, y, right - x, bottom - y), (before.x, before.y, before.w, before.h), atol=1e-6)
    for points in found.keypoints or ():
        (back,) = transform.to_photo(np.array([points.points[:2]]))
        assert np.allclose(back, starts[points.index], atol=1e-6)


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
def test_an_invalid_box_is_an_error(bad: ManifestBox | None) -> None:
    with pytest.raises(InvalidBoxError, match="number 1"):
        labels(HALF, boxes=[box(0, 0, 1, 1), bad])


@pytest.mark.parametrize("bad", [[1.0, 2.0], [1.0, 2.0, float("nan")], [3e9, 0.0, 1.0], [None, 1.0, 1.0]])
def test_invalid_keypoints_are_an_error(bad: list[Any]) -> None:
    with pytest.raises(InvalidKeypointsError, match="number 0"):
        labels(HALF, keypoints=[bad])


def test_people_are_at_their_keypoints_or_boxes() -> None:
    assert person_points(None, None) is None
    pose = ((10.0, 20.0, 2.0, 0.0, 0.0, 0.0), (30.0, 40.0, 1.0))
    found = person_points(pose, [box(0, 0, 5, 5, "person")])
    assert found is not None
    assert found.tolist() == [[10, 20], [30, 40]]
    found = person_points(None, [box(0, 0, 5, 5, "cat"), box(1, 2, 3, 4, "person")])
    assert found is not None
    assert found.tolist() == [[1, 2], [4, 6]]
    assert person_points(None, [box(0, 0, 5, 5, "cat")]) is None
    with pytest.raises(InvalidBoxError, match="number 1"):
        person_points(None, [box(0, 0, 5, 5, "cat"), box(0, 0, -1, 5, "person")])
    no_points = person_points((), None)
    assert no_points is not None
    assert len(no_points) == 0
