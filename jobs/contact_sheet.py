"""A contact sheet. Each variant of a photo is a row of labelled tiles: the photo, its control maps and its image."""

import io
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from PIL import Image, ImageDraw

from pipeline import storage
from pipeline.images.arrays import Pixels
from pipeline.images.geometry import Padding, transform_from_row
from pipeline.images.photo import read_upright
from pipeline.preview import PreviewRow
from schemas.provenance import RecordRow
from schemas.row_parts import MapFacts
from schemas.work import Failed

GAP, LINE = 6, 16  # pixels: the gap between tiles, and the height of a label

Tile = tuple[str, Pixels]
"""A label and the pixels below it."""


def sheet_png(rows: Sequence[PreviewRow | Failed]) -> bytes:
    """Encode the contact sheet of a preview as a PNG. A failed row becomes a line of text."""
    return strips_to_png([_tiles(row) for row in rows])


def write_sheet(output: str, rows: list[RecordRow], uri: str) -> None:
    """Write a contact sheet as a PNG.

    Args:
        output: The address of the output of a run.
        rows: Rows of its provenance. Failed rows are omitted, and so are control maps that were not kept.
        uri: The address of the contact sheet.
    """
    storage.put(uri, strips_to_png([_recorded_tiles(output, row) for row in rows if row.status == "done"]))


def strips_to_png(strips: list[list[Tile]]) -> bytes:
    """Encode rows of tiles, one below the other, as a PNG."""
    images = [_strip(tiles) for tiles in strips]
    width = max((image.width for image in images), default=1)
    sheet = Image.new("RGB", (width, max(1, sum(image.height for image in images))), "white")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
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


def _tiles(row: PreviewRow | Failed) -> list[Tile]:
    """Return the tiles of a row: the photo, its control maps, and the image if it was generated."""
    if isinstance(row, Failed):
        line = np.full((1, 640, 3), 255, np.uint8)  # white: only its width matters, which leaves room for the text
        return [(f"{storage.redact(row.planned.photo_id)}: {row.failure.message}", line)]
    padding = Padding(**asdict(row.padding))
    tiles = [(storage.redact(row.planned.photo_id).rpartition("/")[2], padding.cut(row.photo))]
    tiles += [
        (_label(control_map), padding.cut(control_map.pixels))
        for control_map in row.maps
        if control_map.pixels is not None
    ]
    if row.image is not None:
        tiles.append((f"image, seed {row.planned.seed}", padding.enlarged(row.enlargement).cut(row.image)))
    return tiles


def _recorded_tiles(output: str, row: RecordRow) -> list[Tile]:
    """Return the tiles of a row of provenance: the photo, its kept control maps, and the image if it was generated."""
    tiles = [(row.photo_id, _read_photo(row))]
    tiles += [(_label(control), _read_image(output, control.uri)) for control in row.controls if control.uri]
    return [*tiles, (f"image, seed {row.seed}", _read_image(output, row.uri))] if row.uri else tiles


def _read_photo(row: RecordRow) -> Pixels:
    """Read a photo from its source, and scale and crop it as the run did. The row must be done."""
    if row.source_uri is None or row.transform is None or row.width is None or row.height is None:
        raise ValueError(f"{row.photo_id}: the row has no source, transform or size")
    image = read_upright(storage.read(row.source_uri))
    transform = transform_from_row(asdict(row.transform), image.size, (row.width, row.height))
    return np.asarray(transform.apply(image, Image.Resampling.LANCZOS))


def _read_image(output: str, uri: str) -> Pixels:
    """Read an image of the output as RGB. Its uri is relative to the output."""
    with Image.open(io.BytesIO(storage.read(storage.join(output, uri)))) as image:
        return np.asarray(image.convert("RGB"))


def _label(control_map: MapFacts) -> str:
    return f"{control_map.detector}, {control_map.origin}"
