"""Transform the labels of the manifest to pixels of the image, and drop those that are hardly visible.

Boxes and keypoints of the manifest are in pixels of the upright photo, x to the right, y down.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InvalidBoxError, InvalidKeypointsError
from pipeline.images.geometry import Transform
from schemas.row_parts import Box, Keypoints, Labels, ManifestBox, Points

PERSON = "person"  # the name of this category in COCO
_MAX_COORDINATE = 1e6  # pixels: a label with a larger number, or with NaN, is invalid


def transform_labels(
    boxes: Sequence[ManifestBox | None] | None, keypoints: Points | None, transform: Transform, min_visible: float
) -> Labels:
    """Return the boxes and keypoints of a photo in pixels of its image. Either is None if the manifest has none.

    A box is dropped if less than the fraction `min_visible` of its area is in the image. The keypoints of an object are
    dropped if less than this fraction of the labelled ones is in the image.

    Raises:
        InvalidBoxError: A box lacks x, y, width or height, or one of them is out of range.
        InvalidKeypointsError: Keypoints are not a sequence of x, y and visibility, or a number is out of range.
    """
    clipped = [_transform_box(n, box, transform) for n, box in enumerate(boxes or ())]
    moved = [_transform_points(n, points, transform) for n, points in enumerate(keypoints or ())]
    return Labels(
        boxes=None if boxes is None else tuple(box for box in clipped if box.visible >= min_visible),
        keypoints=None if keypoints is None else tuple(points for points in moved if points.visible >= min_visible),
    )


def person_points(
    pose_keypoints: Points | None, boxes: Sequence[ManifestBox | None] | None
) -> NDArray[np.float64] | None:
    """Return the points [N, 2] of the people that the manifest labels, in pixels of the photo.

    These are the labelled keypoints of `pose_keypoints`, or if that is None, the corners of the boxes of people.
    Returns None if the manifest has neither.
    """
    if pose_keypoints is not None:
        triples = [_triples("pose_keypoints", n, person) for n, person in enumerate(pose_keypoints)]
        people = np.concatenate([np.empty((0, 3)), *triples])
        return people[people[:, 2] > 0, :2]
    corners = [_corners(n, box) for n, box in enumerate(boxes or []) if box and box.category == PERSON]
    return np.concatenate(corners) if corners else None


def _transform_box(number: int, box: ManifestBox | None, transform: Transform) -> Box:
    """Return a box in pixels of the image, clipped to it, and the fraction of its area that remains."""
    corners = transform.points(_corners(number, box))  # [2, 2]
    inside = np.clip(corners, 0, transform.target)
    before, after = (np.prod(both[1] - both[0]) for both in (corners, inside))
    (x, y), (width, height) = inside[0], inside[1] - inside[0]
    category = None if box is None else box.category
    return Box(float(x), float(y), float(width), float(height), category, number, float(after / before))


def _transform_points(number: int, numbers: Sequence[float | None] | None, transform: Transform) -> Keypoints:
    """Return keypoints in pixels of the image, and the fraction of the labelled ones that is inside it.

    A keypoint that is unlabelled or outside the image becomes three zeros.
    """
    points = _triples("keypoints", number, numbers)  # [K, 3]
    labelled = points[:, 2] > 0
    moved = np.column_stack([transform.points(points[:, :2]), points[:, 2]])
    inside = labelled & (moved[:, :2] >= 0).all(axis=1) & (moved[:, :2] <= transform.target).all(axis=1)
    moved[~inside] = 0
    visible = float(inside.sum() / labelled.sum()) if labelled.any() else 0.0
    return Keypoints(tuple(moved.ravel().tolist()), number, visible)


def _corners(number: int, box: ManifestBox | None) -> NDArray[np.float64]:
    """Return the upper left and the lower right corner [2, 2] of a box, or raise `InvalidBoxError`."""
    sides = (None,) * 4 if box is None else (box.x, box.y, box.w, box.h)
    numbers = np.array([np.nan if side is None else side for side in sides], np.float64)
    if not (np.abs(numbers) < _MAX_COORDINATE).all() or not (numbers[2:] > 0).all():
        raise InvalidBoxError(
            f"boxes: number {number} is invalid: x, y, width and height in pixels are {numbers.tolist()}"
        )
    return np.array([numbers[:2], numbers[:2] + numbers[2:]])


def _triples(column: str, number: int, numbers: Sequence[float | None] | None) -> NDArray[np.float64]:
    """Return keypoints [K, 3] of x, y and visibility, or raise `InvalidKeypointsError`."""
    points = np.array([] if numbers is None else numbers, np.float64)  # a null among them becomes NaN
    if points.size % 3 or not (np.abs(points) < _MAX_COORDINATE).all():
        raise InvalidKeypointsError(
            f"{column}: number {number} is not a sequence of x, y and visibility, or a number is out of range"
        )
    return points.reshape(-1, 3)
