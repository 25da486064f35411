"""What a row says of its canvas."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.canvas import covered, padding_of, pixels_of, transform_of
from schemas.work import Row

PADDED = {"left": 4, "top": 10, "right": 0, "bottom": 2}


def test_the_transform_is_of_the_picture_without_padding(decoded: Row) -> None:
    assert transform_of(decoded).target == (64, 64)
    assert transform_of(decoded | {"padding": PADDED}).target == (60, 52)
    assert padding_of(decoded | {"padding": PADDED}).top == 10


def test_pixels_are_those_of_the_row_and_not_to_be_written_to(decoded: Row) -> None:
    pixels = pixels_of(decoded, decoded["pixels"])
    assert pixels.shape == (64, 64, 3)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


def test_what_a_mask_covers_is_moved_by_the_padding(decoded: Row) -> None:
    mask = np.zeros((52, 60), np.uint8)
    mask[0, 0] = 9
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "png")
    found = covered(decoded | {"padding": PADDED, "mask": buffer.getvalue()})
    assert found.shape == (64, 64)
    assert np.argwhere(found).tolist() == [[10, 4]]
