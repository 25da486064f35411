"""Transform the labels of the manifest to pixels of the image, clip them, and drop those that are hardly visible.

Boxes and keypoints of the manifest are in pixels of the upright photo, x to the right, y down.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InvalidBoxError, InvalidKeypointsError
from pipeline.images.geometry import Transform
from schemas.row_parts import Box, Keypoints, Labels, ManifestBox, Points

PERSON = "person"  # the name of this category in COCO
FARTHEST = 1e6  # pixels between a label and the photo: beyond it a number is an error


def transform_labels(
    boxes: Sequence[ManifestBox | None] | None, keypoints: Points | None, transform: Transform, min_visible: float
) -> Labels:
    """Return the labels of a photo in pixels of its image; None for a kind that the manifest does not have.

    A box is dropped if less than `min_visible` of its area is in the image, keypoints if less than `min_visible` of the
    labelled ones are.

    Raises:
        InvalidBoxError: A box is not x, y, width and height.
        InvalidKeypointsError: Keypoints are not x, y and visibility of one point after the other.
    """
    moved = None if boxes is None else [_transform_box(n, box, transform) for n, box in enumerate(boxes)]
    placed = None if keypoints is None else [_transform_points(n, each, transform) for n, each in enumerate(keypoints)]
    return Labels(
        boxes=None if moved is None else tuple(box for box in moved if box.visible >= min_visible),
        keypoints=None if placed is None else tuple(each for each in placed if each.visible >= min_visible),
    )


def person_points(
    pose_keypoints: Points | None, boxes: Sequence[ManifestBox | None] | None
) -> NDArray[np.float64] | None:
    """Return the points [N, 2] of the photo where the manifest has people, or None if it has none.

    They are the visible keypoints of `pose_keypoints`, else the corners of the boxes of people.
    """
    if pose_keypoints is not None:
        triples = [_triples("pose_keypoints", n, person) for n, person in enumerate(pose_keypoints)]
        people = np.concatenate([np.empty((0, 3)), *triples])
        return people[people[:, 2] > 0, :2]
    persons = [box for box in boxes or [] if box and box.category == PERSON]
    return np.concatenate([_corners(n, box) for n, box in enumerate(persons)]) if persons else None


def _transform_box(number: int, box: ManifestBox | None, transform: Transform) -> Box:
    """Return a box in the image, clipped to it, and the share of its area that remains."""
    corners = transform.points(_corners(number, box))  # [2, 2]
    inside = np.clip(corners, 0, transform.target)
    before, after = (np.prod(both[1] - both[0]) for both in (corners, inside))
    (x, y), (width, height) = inside[0], inside[1] - inside[0]
    category = None if box is None else box.category
    return Box(float(x), float(y), float(width), float(height), category, number, float(after / before))


def _transform_points(number: int, numbers: Sequence[float | None] | None, transform: Transform) -> Keypoints:
    """Return keypoints in the image, three zeros for each outside it, and the share inside it."""
    points = _triples("keypoints", number, numbers)  # [K, 3]
    labelled = points[:, 2] > 0
    moved = np.column_stack([transform.points(points[:, :2]), points[:, 2]])
    inside = labelled & (moved[:, :2] >= 0).all(axis=1) & (moved[:, :2] <= transform.target).all(axis=1)
    moved[~inside] = 0
    visible = float(inside.sum() / labelled.sum()) if labelled.any() else 0.0
    return Keypoints(tuple(moved.ravel().tolist()), number, visible)


def _corners(number: int, box: ManifestBox | None) -> NDArray[np.float64]:
    """Return the upper left and the lower right corner [2, 2] of a box."""
    sides = (None,) * 4 if box is None else (box.x, box.y, box.w, box.h)
    numbers = np.array([np.nan if side is None else side for side in sides], np.float64)
    if not (np.abs(numbers) < FARTHEST).all() or not (numbers[2:] > 0).all():
        raise InvalidBoxError(f"boxes: number {number} is not x, y, width and height in pixels: {numbers.tolist()}")
    return np.array([numbers[:2], numbers[:2] + numbers[2:]])


def _triples(column: str, number: int, numbers: Sequence[float | None] | None) -> NDArray[np.float64]:
    """Return keypoints [K, 3]: x, y, visibility."""
    points = np.array([] if numbers is None else numbers, np.float64)  # a null among them becomes NaN
    if points.size % 3 or not (np.abs(points) < FARTHEST).all():
        raise InvalidKeypointsError(
            f"{column}: number {number} is not x, y and visibility of one point after the other"
        )
    return points.reshape(-1, 3)
