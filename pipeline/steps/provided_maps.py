"""Control maps from the manifest: images with the aspect ratio of the photo, or the keypoints of people.

The transform of the photo is applied to its maps. An invalid map is an error of its photo, not of the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import storage
from pipeline.detectors.depth_map import depth_to_map
from pipeline.detectors.keypoints import LAYOUTS, person_from_keypoints
from pipeline.detectors.pose_drawing import draw_people
from pipeline.errors import InvalidMapError, InvalidPoseError, MapShapeError
from pipeline.images.arrays import Pixels
from pipeline.images.formats import DECODER_ERRORS, describe_decode_error, same_aspect_ratio
from pipeline.images.opening import DEFAULT_MAX_PIXELS, load_image
from pipeline.steps.canvas import canvas_padding, canvas_transform
from schemas.detectors import DetectorSettings
from schemas.row_parts import Canvas, Points, ProvidedFile
from schemas.work import Decoded

MAX_COORDINATE = 1e6  # limit of coordinates, in pixels: excludes NaN, infinity, and numbers that overflow in OpenCV
LINE_THRESHOLD = 64  # of 255: after resampling, each channel of a pixel becomes 255 from this value on, else 0
BLACK_AND_WHITE = frozenset({"canny", "scribble"})  # their ControlNets were trained without grey
PALETTE = frozenset({"seg"})  # colours are classes, and interpolated colours would be other classes


@dataclass(frozen=True)
class ProvidedMap:
    """A map on the canvas, and the address of its image without credentials. The address of keypoints is None."""

    pixels: Pixels
    uri: str | None


def is_provided(settings: DetectorSettings, row: Decoded) -> bool:
    """Return whether the manifest provides a detector's map for a row."""
    return _has_pose(settings, row) or _file_of(settings, row) is not None


def provided_map(settings: DetectorSettings, row: Decoded, max_pixels: int = DEFAULT_MAX_PIXELS) -> ProvidedMap | None:
    """Return the map that the manifest provides, or None.

    Args:
        settings: The settings of the detector.
        row: The row.
        max_pixels: The largest number of pixels of the image.

    Raises:
        ControlMapError: The map is invalid.
    """
    if row.planned.pose_keypoints is not None and settings.finds_people:
        return ProvidedMap(_draw_poses(row.planned.pose_keypoints, row.canvas), None)
    file = _file_of(settings, row)
    if file is None:
        return None
    image = _load(file, row.canvas, max_pixels)
    is_depth = settings.name == "depth"
    pixels = _depth_map(row.canvas, image) if is_depth else _color_map(settings.name, row.canvas, image)
    return ProvidedMap(pixels, storage.redact(file.uri))


def _has_pose(settings: DetectorSettings, row: Decoded) -> bool:
    return settings.finds_people and row.planned.pose_keypoints is not None


def _file_of(settings: DetectorSettings, row: Decoded) -> ProvidedFile | None:
    return next((file for file in row.provided if file.detector == settings.name), None)


def _draw_poses(pose_keypoints: Points, canvas: Canvas) -> Pixels:
    """Draw the people of the manifest on the canvas."""
    transform, padding, people = canvas_transform(canvas), canvas_padding(canvas), []
    corner = np.array([padding.left, padding.top])
    for numbers in pose_keypoints:
        points = _person(numbers)
        moved = transform.points(points[:, :2]) + corner
        people.append(person_from_keypoints(np.column_stack([moved, points[:, 2]])))
    return draw_people(people, canvas.height, canvas.width)


def _person(numbers: Sequence[float | None] | None) -> NDArray[np.float64]:
    """Parse the keypoints of a person, [K, 3]: x, y, visibility."""
    person = np.array([] if numbers is None else numbers, np.float64)  # a null becomes NaN
    if person.size % 3 or person.size // 3 not in LAYOUTS or not (np.abs(person) < MAX_COORDINATE).all():
        layouts = " or ".join(str(count) for count in LAYOUTS)
        raise InvalidPoseError(
            f"pose_keypoints: a person does not have {layouts} keypoints, or a number is not finite or too large"
        )
    return person.reshape(-1, 3)


def _depth_map(canvas: Canvas, image: Image.Image) -> Pixels:
    """Convert a depth image of 8 or 16 bits or floats, where near is white, to the map that depth ControlNets use."""
    grey = image.convert("F") if image.mode.startswith(("I", "F")) else image.convert("L").convert("F")
    depth = _fit(canvas, grey, Image.Resampling.BILINEAR)  # [H, W], float32
    if not np.isfinite(depth).all():
        raise InvalidMapError("depth_uri: the image has values that are not finite")
    return depth_to_map(depth)


def _color_map(detector: str, canvas: Canvas, image: Image.Image) -> Pixels:
    """Resample any other map. Maps in `PALETTE` get no new colours, and maps in `BLACK_AND_WHITE` no grey."""
    resampling = Image.Resampling.NEAREST if detector in PALETTE else Image.Resampling.BILINEAR
    pixels = _fit(canvas, image.convert("RGB"), resampling)  # [H, W, 3], uint8
    if detector in BLACK_AND_WHITE:
        return np.where(pixels >= LINE_THRESHOLD, np.uint8(255), np.uint8(0))
    return pixels.astype(np.uint8)


def _load(file: ProvidedFile, canvas: Canvas, max_pixels: int) -> Image.Image:
    try:
        return load_image(file.content, max_pixels, partial(_check_shape, file, canvas))
    except DECODER_ERRORS as error:
        raise InvalidMapError(f"{file.detector}_uri: {describe_decode_error(error)}") from error


def _check_shape(file: ProvidedFile, canvas: Canvas, size: tuple[int, int]) -> None:
    source = canvas_transform(canvas).source
    if not same_aspect_ratio(size, source):
        found, photo = (f"{width}x{height}" for width, height in (size, source))
        raise MapShapeError(f"{file.detector}_uri: {found} does not have the aspect ratio of the photo, {photo}")


def _fit(canvas: Canvas, image: Image.Image, resampling: Image.Resampling) -> NDArray[Any]:
    """Resample an image of the whole photo to the pixels of the canvas. The padding repeats the edge of the image."""
    return canvas_padding(canvas).pad(np.asarray(canvas_transform(canvas).apply(image, resampling)), edge=True)
