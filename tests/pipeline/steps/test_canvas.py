"""What a row says of its canvas."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.steps.canvas import as_pixels, enlarged_columns, row_mask, row_padding, row_transform
from schemas.work import Row

PADDED = {"left": 4, "top": 10, "right": 0, "bottom": 2}


def test_the_transform_is_of_the_picture_without_padding(decoded: Row) -> None:
    assert row_transform(decoded).target == (64, 64)
    assert row_transform(decoded | {"padding": PADDED}).target == (60, 52)
    assert row_padding(decoded | {"padding": PADDED}).top == 10


def test_pixels_are_those_of_the_row_and_not_to_be_written_to(decoded: Row) -> None:
    pixels = as_pixels(decoded, decoded["pixels"])
    assert pixels.shape == (64, 64, 3)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


def test_what_a_mask_covers_is_moved_by_the_padding(decoded: Row) -> None:
    mask = np.zeros((52, 60), np.uint8)
    mask[0, 0] = 9
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "png")
    found = row_mask(decoded | {"padding": PADDED, "mask": buffer.getvalue()})
    assert found.shape == (64, 64)
    assert np.argwhere(found).tolist() == [[10, 4]]


BOX = {"x": 1.0, "y": 2.0, "w": 10.0, "h": 20.0, "category": "cat", "index": 0, "visible": 0.5}


POINTS = {"points": [3.0, 4.0, 2.0, 0.0, 0.0, 0.0], "index": 1, "visible": 1.0}


def test_labels_and_transform_are_in_the_larger_pictures_pixels(decoded: Row) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(mask, "png")
    labels = {"boxes": [BOX], "keypoints": [POINTS], "mask_visible": 1.0}
    row = decoded | {"labels": labels, "mask": mask.getvalue()}
    changed = enlarged_columns(row, 3)
    assert changed["labels"]["boxes"] == [BOX | {"x": 3.0, "y": 6.0, "w": 30.0, "h": 60.0}]
    assert changed["labels"]["keypoints"] == [POINTS | {"points": [9.0, 12.0, 2.0, 0.0, 0.0, 0.0]}]
    corners = np.array([[0.0, 0.0], [512.0, 512.0]])
    moved = row_transform(row | changed | {"width": 192, "height": 192}).points(corners)
    assert (moved == 3 * row_transform(row).points(corners)).all()
    large = np.asarray(Image.open(io.BytesIO(changed["mask"])))
    assert (large == np.arange(64 * 64, dtype=np.uint8).reshape(64, 64).repeat(3, 0).repeat(3, 1)).all()


def test_what_is_not_enlarged_and_what_failed_stays(decoded: Row) -> None:
    assert enlarged_columns(decoded, 1) == {}
    assert enlarged_columns(decoded | {"failure": {"stage": "convert"}}, 2) == {}
