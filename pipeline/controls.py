"""The control maps of a photo, one per control of the recipe, on exactly the pixels that the converter sees.

What the manifest brings (keypoints, a depth picture) beats what a detector would find. A detector whose weights are
missing draws black where the recipe allows it, and provenance says so.
"""

import hashlib
import io
from collections.abc import Sequence

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.decode import BROKEN, FORMATS
from pipeline.detectors import Detector, Pixels, load_detector, settings_json
from pipeline.detectors.depth_scale import depth_to_map
from pipeline.detectors.pose_drawing import COCO_KEYPOINTS, draw_people, openpose_from_coco
from pipeline.each import Each
from pipeline.faults import ControlFault
from pipeline.geometry import Transform, transform_from_row
from schemas.detectors import DetectorSettings
from schemas.work import MAPPED, Row

FARTHEST = 1e6  # pixels from the photo that a keypoint may be: no NaN, no infinity, nothing OpenCV cannot draw
ASPECT_TOLERANCE = 0.01  # a depth picture may be smaller than its photo, but of the same shape


class ControlMaps:
    """Draws every control map of a recipe; a detector is loaded when a photo first needs it."""

    def __init__(self, detectors: Sequence[DetectorSettings], blank: frozenset[str] = frozenset()) -> None:
        """`blank` names the detectors whose maps are black because their weights are missing."""
        self._settings = detectors
        self._blank = blank
        self._loaded: dict[str, Detector] = {}
        self._each = Each("controls", self.draw, MAPPED)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch of `schemas.work.DECODED` as one of `MAPPED`."""
        return self._each(batch)

    def draw(self, row: Row) -> Row:
        """Add `maps` to a row, in the order of the recipe's controls. Raises `ControlFault`."""
        shape = (row["height"], row["width"], 3)
        pixels = np.frombuffer(row["pixels"], np.uint8).reshape(shape)  # [H, W, 3], RGB, 0..255
        row["maps"] = [self._one(settings, row, pixels) for settings in self._settings]
        del row["depth_bytes"]
        return row

    def _one(self, settings: DetectorSettings, row: Row, pixels: Pixels) -> Row:
        brought = _from_manifest(settings.name, row)
        if brought is not None:
            return _as_row(settings, brought, "manifest")
        if settings.name in self._blank:
            return _as_row(settings, np.zeros_like(pixels), "blank")
        if settings.name not in self._loaded:
            self._loaded[settings.name] = load_detector(settings)
        detector = self._loaded[settings.name]
        try:
            drawn = detector(pixels)
        except (RuntimeError, ValueError, cv2.error) as error:  # what the detectors' libraries raise over odd pixels
            message = f"{settings.name}: {type(error).__name__}: {error}"
            raise ControlFault(message) from error
        found = _as_row(settings, drawn, "detected")
        return found | {"version": detector.version, "settings": settings_json(settings), "model": detector.model}


def _as_row(settings: DetectorSettings, drawn: Pixels, origin: str) -> Row:
    raw = drawn.tobytes()
    return {"detector": settings.name, "origin": origin, "sha256": hashlib.sha256(raw).hexdigest(), "pixels": raw}


def _from_manifest(detector: str, row: Row) -> Pixels | None:
    if detector == "openpose" and row["pose_keypoints"] is not None:
        return _people(row)
    if detector == "depth" and row["depth_bytes"] is not None:
        return _depth(row)
    return None


def _transform(row: Row) -> Transform:
    return transform_from_row(
        row["transform"], (row["source_width"], row["source_height"]), (row["width"], row["height"])
    )


def _people(row: Row) -> Pixels:
    """Draw the manifest's people, COCO's 17 keypoints each, where the transform puts them."""
    transform, people = _transform(row), []
    for numbers in row["pose_keypoints"]:
        person = np.array([] if numbers is None else numbers, np.float64)  # a null among them becomes NaN
        if person.size != 3 * COCO_KEYPOINTS or not (np.abs(person) < FARTHEST).all():
            message = f"pose_keypoints: a person is {3 * COCO_KEYPOINTS} numbers: x, y, visibility of 17 keypoints"
            raise ControlFault(message)
        person = person.reshape(COCO_KEYPOINTS, 3)
        people.append(transform.points(openpose_from_coco(person)))
    return draw_people(people, row["height"], row["width"])


def _depth(row: Row) -> Pixels:
    """Bring the manifest's depth picture, 8 or 16 bits or floats, through the photo's own transform."""
    transform = _transform(row)
    try:
        with Image.open(io.BytesIO(row["depth_bytes"]), formats=FORMATS) as image:
            depth = image.convert("F") if image.mode.startswith(("I", "F")) else image.convert("L").convert("F")
    except BROKEN as error:
        message = f"depth_uri: no readable picture: {type(error).__name__}: {error}"
        raise ControlFault(message) from error
    (wide, high), (source_wide, source_high) = depth.size, transform.source
    if abs(wide * source_high / (high * source_wide) - 1) > ASPECT_TOLERANCE:
        message = f"depth_uri: {wide}x{high} is not of the photo's shape {source_wide}x{source_high}"
        raise ControlFault(message)
    if depth.size != transform.source:
        depth = depth.resize(transform.source, Image.Resampling.BILINEAR)
    scaled = transform.picture(depth, Image.Resampling.BILINEAR)  # [H, W], float32
    if not np.isfinite(scaled).all():
        message = "depth_uri: holds numbers that are not finite"
        raise ControlFault(message)
    return depth_to_map(scaled)
