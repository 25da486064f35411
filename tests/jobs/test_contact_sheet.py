"""The sheet: tiles of their own size in rows, labelled, whatever their number."""

import io

import numpy as np
from PIL import Image

from jobs.contact_sheet import GAP, LINE, sheet_png, strips_to_png
from schemas.work import Row


def test_each_row_has_its_own_tiles() -> None:
    tile = np.full((20, 30, 3), 200, np.uint8)
    sheet = Image.open(io.BytesIO(strips_to_png([[("a", tile), ("b", tile)], [("c", tile)]])))
    assert sheet.size == (2 * (30 + GAP), 2 * (20 + LINE + GAP))
    assert sheet.getpixel((5, LINE + 5)) == (200, 200, 200)
    assert sheet.getpixel((30 + GAP + 5, LINE + 5)) == (200, 200, 200)
    assert np.asarray(sheet)[:LINE].min() < 100  # a label


def test_padding_is_cut_off_and_a_failure_is_a_line(decoded: Row) -> None:
    padding = {"left": 0, "top": 8, "right": 0, "bottom": 8}
    drawn = {"detector": "canny", "origin": "detected", "pixels": bytes(64 * 64 * 3)}
    done = decoded | {"padding": padding, "photo": decoded["pixels"], "maps": [drawn]}
    failed = decoded | {"failure": {"message": "gone"}, "photo": None}
    sheet = Image.open(io.BytesIO(sheet_png([done, failed])))
    assert sheet.height == (48 + LINE + GAP) + (1 + LINE + GAP)


def test_nothing_is_an_empty_sheet() -> None:
    assert Image.open(io.BytesIO(strips_to_png([]))).size == (1, 1)
