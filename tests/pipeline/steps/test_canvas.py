"""The transform, padding, mask and control maps of a canvas, and the enlargement of a canvas for a second pass."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from pipeline.steps.canvas import (
    canvas_mask,
    canvas_padding,
    canvas_transform,
    enlarge_canvas,
    image_size,
    map_pixels,
)
from schemas.row_parts import Box, ControlMap, Keypoints, Labels, PaddingColumns
from schemas.work import Decoded
from tests.rows import png

PADDED = PaddingColumns(left=4, top=10, right=0, bottom=2)


def test_the_target_of_the_transform_excludes_the_padding(decoded: Decoded) -> None:
    padded = replace(decoded.canvas, padding=PADDED)
    assert canvas_transform(decoded.canvas).target == (64, 64)
    assert canvas_transform(padded).target == image_size(padded) == (60, 52)
    assert canvas_padding(padded).top == 10


def test_pixels_of_a_missing_map_are_an_error() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert map_pixels(ControlMap("canny", pixels=pixels)) is pixels
    for missing in (None, ControlMap("canny")):
        with pytest.raises(ValueError, match="without pixels"):
            map_pixels(missing)


def test_a_mask_is_padded_to_the_size_of_the_canvas(decoded: Decoded) -> None:
    mask = np.zeros((52, 60), np.uint8)
    mask[0, 0] = 9
    padded = canvas_mask(replace(decoded.canvas, padding=PADDED, mask=png(mask)))
    assert padded is not None
    assert padded.shape == (64, 64)
    assert np.argwhere(padded).tolist() == [[10, 4]]
    assert canvas_mask(decoded.canvas) is None


def test_enlarging_a_canvas_scales_its_labels_transform_and_mask(decoded: Decoded) -> None:
    values = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    box = Box(1.0, 2.0, 10.0, 20.0, "cat", 0, 0.5)
    points = Keypoints((3.0, 4.0, 2.0, 0.0, 0.0, 0.0), 1, 1.0)
    canvas = replace(decoded.canvas, labels=Labels((box,), (points,), 1.0), mask=png(values))
    large = enlarge_canvas(canvas, 3)
    assert (large.width, large.height) == (192, 192)
    assert large.labels.boxes == (replace(box, x=3.0, y=6.0, w=30.0, h=60.0),)
    assert large.labels.keypoints == (replace(points, points=(9.0, 12.0, 2.0, 0.0, 0.0, 0.0)),)
    corners = np.array([[0.0, 0.0], [512.0, 512.0]])
    assert (canvas_transform(large).points(corners) == 3 * canvas_transform(canvas).points(corners)).all()
    mask = canvas_mask(large)
    assert mask is not None
    assert (mask == (values != 0).repeat(3, 0).repeat(3, 1)).all()


def test_enlarging_a_canvas_scales_its_padding(decoded: Decoded) -> None:
    large = enlarge_canvas(replace(decoded.canvas, padding=PADDED), 2)
    assert asdict(large.padding) == {name: 2 * side for name, side in asdict(PADDED).items()}


def test_enlarging_a_canvas_by_1_returns_the_same_canvas(decoded: Decoded) -> None:
    assert enlarge_canvas(decoded.canvas, 1) is decoded.canvas
