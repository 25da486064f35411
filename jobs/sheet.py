"""A sheet to look at: each photo, its control maps and its picture in one row."""

import io
from typing import Any

from PIL import Image, ImageDraw

from pipeline import storage
from pipeline.decode import read_upright
from pipeline.geometry import transform_from_row

GAP, LINE = 6, 16  # pixels between tiles, and of a line of text


def write_sheet(output: str, rows: list[dict[str, Any]], uri: str) -> None:
    """Draw rows of provenance that were done with their maps kept, and put the sheet as a PNG at `uri`."""
    strips = [_strip(output, row) for row in rows if row["status"] == "done"]
    width = max((strip.width for strip in strips), default=1)
    sheet = Image.new("RGB", (width, max(1, sum(strip.height for strip in strips))), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    storage.put(uri, buffer.getvalue())


def _strip(output: str, row: dict[str, Any]) -> Image.Image:
    """Return one row of the sheet: the photo as the converter saw it, then each map, then the picture."""
    tiles = [(row["photo_id"], _photo(row))]
    tiles += [(f"{each['detector']}, {each['origin']}", _opened(output, each["uri"])) for each in row["controls"]]
    tiles.append((f"picture, seed {row['seed']}", _opened(output, row["uri"])))
    width, height = tiles[0][1].size
    strip = Image.new("RGB", (len(tiles) * (width + GAP), height + LINE + GAP), "white")
    draw = ImageDraw.Draw(strip)
    for place, (label, tile) in enumerate(tiles):
        draw.text((place * (width + GAP), 1), label, fill="black")
        strip.paste(tile, (place * (width + GAP), LINE))
    return strip


def _photo(row: dict[str, Any]) -> Image.Image:
    image, _ = read_upright(storage.read(row["source_uri"]))
    transform = transform_from_row(row["transform"], image.size, (row["width"], row["height"]))
    return Image.fromarray(transform.picture(image))


def _opened(output: str, name: str) -> Image.Image:
    with Image.open(io.BytesIO(storage.read(storage.join(output, name)))) as image:
        return image.convert("RGB")
