"""Control maps that the manifest brings: people as keypoints, any other map as a picture of the photo's shape.

They go through the photo's own transform. What is wrong with them is the photo's fault, not the run's.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import storage
from pipeline.detectors.depth_map import depth_to_map
from pipeline.detectors.keypoints import LAYOUTS, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from pipeline.errors import ControlMapError
from pipeline.images.arrays import Pixels
from pipeline.images.formats import DECODER_ERRORS, FORMATS, describe_decode_error, same_aspect_ratio
from pipeline.steps.canvas import row_padding, row_transform
from schemas.detectors import DetectorSettings
from schemas.work import Row

FARTHEST = 1e6  # pixels from the photo that a keypoint may be: no NaN, no infinity, nothing OpenCV cannot draw
LINE_THRESHOLD = 64  # of 255: what a line must keep of its strength in a resampled map of black and white
BLACK_AND_WHITE = frozenset({"canny", "scribble"})  # their nets know no grey
PALETTE = frozenset({"seg"})  # colours are classes: none between two of them


@dataclass(frozen=True)
class ProvidedMap:
    """A map on the canvas, and the address of the picture that it was made of; None for keypoints."""

    pixels: Pixels
    uri: str | None


def is_provided(settings: DetectorSettings, row: Row) -> bool:
    """Tell whether the manifest brings a detector's map for a row."""
    return _keypoints_stand_for(settings, row) or _picture_of(settings, row) is not None


def provided_map(settings: DetectorSettings, row: Row) -> ProvidedMap | None:
    """Return the map that the manifest brings; None where it brings none. Raises `ControlMapError`."""
    if _keypoints_stand_for(settings, row):
        return ProvidedMap(_people(row), None)
    brought = _picture_of(settings, row)
    if brought is None:
        return None
    pixels = _depth(row, brought["content"]) if settings.name == "depth" else _colors(settings.name, row, brought)
    return ProvidedMap(pixels, storage.redact(brought["uri"]))


def _keypoints_stand_for(settings: DetectorSettings, row: Row) -> bool:
    return settings.draws_people and row["pose_keypoints"] is not None


def _picture_of(settings: DetectorSettings, row: Row) -> Row | None:
    return next((each for each in row.get("brought") or [] if each["detector"] == settings.name), None)


def _people(row: Row) -> Pixels:
    """Draw the manifest's people where the transform puts them."""
    transform, padding, people = row_transform(row), row_padding(row), []
    corner = np.array([padding.left, padding.top])
    for numbers in row["pose_keypoints"]:
        points = _points(numbers)
        moved = transform.points(points[:, :2]) + corner
        people.append(person_from_keypoints(np.column_stack([moved, points[:, 2]])))
    return draw_people(people, row["height"], row["width"])


def _points(numbers: list[float | None] | None) -> NDArray[np.float64]:
    """Return a person's keypoints [K, 3]: x, y, visibility."""
    person = np.array([] if numbers is None else numbers, np.float64)  # a null among them becomes NaN
    if person.size % 3 or person.size // 3 not in LAYOUTS or not (np.abs(person) < FARTHEST).all():
        known = ", ".join(str(count) for count in LAYOUTS)
        message = f"pose_keypoints: a person is x, y, visibility of {known} keypoints, one after the other"
        raise ControlMapError(message)
    return person.reshape(-1, 3)


def _depth(row: Row, content: bytes) -> Pixels:
    """Bring a depth picture, 8 or 16 bits or floats, near is white, to the map that depth nets know."""
    image = _opened("depth", content)
    grey = image.convert("F") if image.mode.startswith(("I", "F")) else image.convert("L").convert("F")
    depth = _on_canvas("depth", row, grey, Image.Resampling.BILINEAR)  # [H, W], float32
    if not np.isfinite(depth).all():
        message = "depth_uri: holds numbers that are not finite"
        raise ControlMapError(message)
    return depth_to_map(depth)


def _colors(detector: str, row: Row, brought: Row) -> Pixels:
    """Bring any other map: the classes of a palette stay classes, black and white stays black and white."""
    image = _opened(detector, brought["content"]).convert("RGB")
    filtered = Image.Resampling.NEAREST if detector in PALETTE else Image.Resampling.BILINEAR
    pixels = _on_canvas(detector, row, image, filtered)  # [H, W, 3], uint8
    if detector in BLACK_AND_WHITE:
        return np.where(pixels >= LINE_THRESHOLD, np.uint8(255), np.uint8(0))
    return pixels.astype(np.uint8)


def _opened(detector: str, content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            return image
    except DECODER_ERRORS as error:
        message = f"{detector}_uri: {describe_decode_error(error)}"
        raise ControlMapError(message) from error


def _on_canvas(detector: str, row: Row, image: Image.Image, filtered: Image.Resampling) -> NDArray[Any]:
    """Bring a picture of the photo's shape through its transform, its edge repeated where the canvas pads."""
    transform = row_transform(row)
    if not same_aspect_ratio(image.size, transform.source):
        wide, high = transform.source
        message = f"{detector}_uri: {image.width}x{image.height} is not of the photo's shape {wide}x{high}"
        raise ControlMapError(message)
    return row_padding(row).pad(np.asarray(transform.apply(image, filtered)), edge=True)
