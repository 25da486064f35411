"""A sheet to look at: each photo as the converter saw it, its control maps and its picture in one row, labelled."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipeline import storage
from pipeline.images.arrays import Pixels
from pipeline.images.geometry import transform_from_row
from pipeline.images.photo import read_upright
from pipeline.steps.canvas import as_pixels, row_padding

GAP, LINE = 6, 16  # pixels between tiles, and of a line of text

Tile = tuple[str, Pixels]
"""A label and the pixels below it."""


def sheet_png(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return the sheet of rows behind the control maps or the converter; a failed row is a line of text."""
    return strips_to_png([_tiles(row) for row in rows])


def write_sheet(output: str, rows: list[dict[str, Any]], uri: str) -> None:
    """Put the sheet of rows of provenance, which were done with their maps kept, as a PNG at `uri`."""
    storage.put(uri, strips_to_png([_recorded_tiles(output, row) for row in rows if row["status"] == "done"]))


def strips_to_png(strips: list[list[Tile]]) -> bytes:
    """Return one strip of tiles below the other as a PNG."""
    drawn = [_strip(tiles) for tiles in strips]
    width = max((strip.width for strip in drawn), default=1)
    sheet = Image.new("RGB", (width, max(1, sum(strip.height for strip in drawn))), "white")
    top = 0
    for strip in drawn:
        sheet.paste(strip, (0, top))
        top += strip.height
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    return buffer.getvalue()


def _strip(tiles: list[Tile]) -> Image.Image:
    height, width = max(len(pixels) for _, pixels in tiles), sum(pixels.shape[1] + GAP for _, pixels in tiles)
    strip = Image.new("RGB", (width, height + LINE + GAP), "white")
    draw, left = ImageDraw.Draw(strip), 0
    for label, pixels in tiles:
        draw.text((left, 1), label, fill="black")
        strip.paste(Image.fromarray(pixels), (left, LINE))
        left += pixels.shape[1] + GAP
    return strip


def _tiles(row: dict[str, Any]) -> list[Tile]:
    """Return the tiles of a row on its way: photo, maps, and the picture where there is one."""
    if row["failure"]:
        return [(f"{row['photo_id']}: {row['failure']['message']}", np.full((1, 640, 3), 255, np.uint8))]
    cut = row_padding(row).cut
    tiles = [(row["photo_id"].rpartition("/")[2], cut(as_pixels(row, row["photo"])))]
    tiles += [(_label(each), cut(as_pixels(row, each["pixels"]))) for each in row["maps"]]
    if row.get("picture"):
        times = math.isqrt(len(row["picture"]) // len(row["photo"]))  # as large, behind a second pass
        whole = as_pixels(row, row["picture"], times)
        tiles.append((f"picture, seed {row['seed']}", row_padding(row).enlarged(times).cut(whole)))
    return tiles


def _recorded_tiles(output: str, row: dict[str, Any]) -> list[Tile]:
    tiles = [(row["photo_id"], _photo(row))]
    tiles += [(_label(each), _opened(output, each["uri"])) for each in row["controls"]]
    return [*tiles, (f"picture, seed {row['seed']}", _opened(output, row["uri"]))]


def _photo(row: dict[str, Any]) -> Pixels:
    """Return the photo as the converter saw it, read from where it was once more."""
    image = read_upright(storage.read(row["source_uri"]))
    transform = transform_from_row(row["transform"], image.size, (row["width"], row["height"]))
    return np.asarray(transform.apply(image, Image.Resampling.LANCZOS))


def _opened(output: str, name: str) -> Pixels:
    with Image.open(io.BytesIO(storage.read(storage.join(output, name)))) as image:
        return np.asarray(image.convert("RGB"))


def _label(drawn: dict[str, Any]) -> str:
    return f"{drawn['detector']}, {drawn['origin']}"
