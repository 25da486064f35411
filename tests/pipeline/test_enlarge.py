"""A second pass makes the picture larger: its transform and its labels with it, its maps not."""

import io

import numpy as np
from PIL import Image

from pipeline.canvas import transform_of
from pipeline.enlarge import enlarged
from schemas.work import Row

BOX = {"x": 1.0, "y": 2.0, "w": 10.0, "h": 20.0, "category": "cat", "index": 0, "visible": 0.5}
POINTS = {"points": [3.0, 4.0, 2.0, 0.0, 0.0, 0.0], "index": 1, "visible": 1.0}


def test_labels_and_transform_are_in_the_larger_pictures_pixels(decoded: Row) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(mask, "png")
    labels = {"boxes": [BOX], "keypoints": [POINTS], "mask_visible": 1.0}
    row = decoded | {"labels": labels, "mask": mask.getvalue()}
    changed = enlarged(row, 3)
    assert changed["labels"]["boxes"] == [BOX | {"x": 3.0, "y": 6.0, "w": 30.0, "h": 60.0}]
    assert changed["labels"]["keypoints"] == [POINTS | {"points": [9.0, 12.0, 2.0, 0.0, 0.0, 0.0]}]
    corners = np.array([[0.0, 0.0], [512.0, 512.0]])
    moved = transform_of(row | changed | {"width": 192, "height": 192}).points(corners)
    assert (moved == 3 * transform_of(row).points(corners)).all()
    large = np.asarray(Image.open(io.BytesIO(changed["mask"])))
    assert (large == np.arange(64 * 64, dtype=np.uint8).reshape(64, 64).repeat(3, 0).repeat(3, 1)).all()


def test_what_is_not_enlarged_and_what_failed_stays(decoded: Row) -> None:
    assert enlarged(decoded, 1) == {}
    assert enlarged(decoded | {"failure": {"stage": "convert"}}, 2) == {}
