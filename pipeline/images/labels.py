"""Labels of the manifest in the picture's pixels: moved by the photo's own transform, clipped, dropped if hardly there.

Boxes and keypoints are in the upright photo's pixels, x to the right, y down.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import LabelError
from pipeline.images.geometry import Transform
from schemas.work import Row

PERSON = "person"  # COCO's name of the category
FARTHEST = 1e6  # pixels from the photo that a label may be


def transform_labels(row: Row, transform: Transform, min_visible: float) -> Row:
    """Return the columns of `schemas.work.LABELS` but for the mask's, each null where the manifest has none.

    A label of which less than `min_visible` is in the picture is left out: of a box its area as given, of keypoints
    those that are labelled. Raises `LabelError` for numbers that are no box or no keypoints.
    """
    boxes, keypoints = row["boxes"], row["keypoints"]
    moved = None if boxes is None else [_box(n, box, transform) for n, box in enumerate(boxes)]
    placed = None if keypoints is None else [_points(n, points, transform) for n, points in enumerate(keypoints)]
    return {
        "boxes": moved and [box for box in moved if box["visible"] >= min_visible],
        "keypoints": placed and [points for points in placed if points["visible"] >= min_visible],
        "mask_visible": None,
    }


def person_points(row: Row) -> NDArray[np.float64] | None:
    """Return points [N, 2] of the photo where the manifest says that people are; None where it says nothing.

    They are the keypoints of `pose_keypoints` that are to be seen, else the corners of the boxes of people.
    """
    if row["pose_keypoints"] is not None:
        triples = [_triples("pose_keypoints", n, person) for n, person in enumerate(row["pose_keypoints"])]
        people = np.concatenate([np.empty((0, 3)), *triples])
        return people[people[:, 2] > 0, :2]
    boxes = [box for box in row["boxes"] or [] if box and box["category"] == PERSON]
    return np.concatenate([_corners(n, box) for n, box in enumerate(boxes)]) if boxes else None


def _box(number: int, box: Row | None, transform: Transform) -> Row:
    """Return a box in the picture, clipped to it, with the share of its area that is left."""
    corners = transform.points(_corners(number, box))  # [2, 2]
    inside = np.clip(corners, 0, transform.target)
    whole, left = (np.prod(both[1] - both[0]) for both in (corners, inside))
    (x, y), (width, height) = inside[0], inside[1] - inside[0]
    category = None if box is None else box["category"]
    place = {"x": float(x), "y": float(y), "w": float(width), "h": float(height)}
    return place | {"category": category, "index": number, "visible": float(left / whole)}


def _points(number: int, numbers: list[float] | None, transform: Transform) -> Row:
    """Return keypoints in the picture, three zeros for each that is not in it, with the share that is."""
    points = _triples("keypoints", number, numbers)  # [K, 3]
    labelled = points[:, 2] > 0
    moved = np.column_stack([transform.points(points[:, :2]), points[:, 2]])
    inside = labelled & (moved[:, :2] >= 0).all(axis=1) & (moved[:, :2] <= transform.target).all(axis=1)
    moved[~inside] = 0
    visible = float(inside.sum() / labelled.sum()) if labelled.any() else 0.0
    return {"points": moved.ravel().tolist(), "index": number, "visible": visible}


def _corners(number: int, box: Row | None) -> NDArray[np.float64]:
    """Return the upper left and the lower right corner [2, 2]."""
    numbers = np.array([np.nan if box is None or box[name] is None else box[name] for name in "xywh"], np.float64)
    if not (np.abs(numbers) < FARTHEST).all() or not (numbers[2:] > 0).all():
        message = f"boxes: number {number} is no x, y, width and height in pixels: {numbers.tolist()}"
        raise LabelError(message)
    return np.array([numbers[:2], numbers[:2] + numbers[2:]])


def _triples(column: str, number: int, numbers: list[float] | None) -> NDArray[np.float64]:
    """Return keypoints [K, 3]: x, y, visibility."""
    points = np.array([] if numbers is None else numbers, np.float64)  # a null among them becomes NaN
    if points.size % 3 or not (np.abs(points) < FARTHEST).all():
        message = f"{column}: number {number} is no list of x, y, visibility, one keypoint after the other"
        raise LabelError(message)
    return points.reshape(-1, 3)
