"""The contact sheet: rows of labelled tiles, which may differ in height and in their number of tiles."""

import io

import numpy as np
from PIL import Image

from jobs.contact_sheet import GAP, LINE, sheet_png, strips_to_png
from pipeline.preview import PreviewRow
from schemas.row_parts import PaddingColumns
from schemas.work import Decoded
from tests.rows import blank_map, failed_row_of


def test_rows_may_have_different_numbers_of_tiles() -> None:
    tile = np.full((20, 30, 3), 200, np.uint8)
    sheet = Image.open(io.BytesIO(strips_to_png([[("a", tile), ("b", tile)], [("c", tile)]])))
    assert sheet.size == (2 * (30 + GAP), 2 * (20 + LINE + GAP))
    assert sheet.getpixel((5, LINE + 5)) == (200, 200, 200)
    assert sheet.getpixel((30 + GAP + 5, LINE + 5)) == (200, 200, 200)
    assert np.asarray(sheet)[:LINE].min() < 100  # the label


def test_padding_is_cropped_and_a_failed_row_is_a_line_of_text(decoded: Decoded) -> None:
    padding = PaddingColumns(left=0, top=8, right=0, bottom=8)
    row = PreviewRow(decoded.planned, decoded.pixels, padding, (blank_map("canny"),), None, 1)
    sheet = Image.open(io.BytesIO(sheet_png([row, failed_row_of(decoded.planned)])))
    assert sheet.height == (48 + LINE + GAP) + (1 + LINE + GAP)


def test_a_sheet_without_rows_has_one_pixel() -> None:
    assert Image.open(io.BytesIO(strips_to_png([]))).size == (1, 1)
