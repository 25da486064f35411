"""Rows of each stage for the tests of the steps."""

import io
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.geometry import Padding, crop_transform
from pipeline.steps.canvas import padding_columns, transform_columns
from schemas.row_parts import Canvas, ControlMap, Failure, Labels, MadeBy, Pixels, Source, Timing
from schemas.work import Decoded, Encoded, Failed, Fetched, Mapped, Planned

T = TypeVar("T")

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def edit(row: T, **changes: Any) -> T:
    """Return a row with changed fields. A dictionary changes the fields of a part: `canvas={"width": 128}`."""
    parts = {
        name: edit(getattr(row, name), **value) if _is_part(row, name, value) else value
        for name, value in changes.items()
    }
    return replace(row, **parts)  # type: ignore[type-var]  # every row is a dataclass


def _is_part(row: object, name: str, value: object) -> bool:
    return isinstance(value, dict) and is_dataclass(getattr(row, name))


def planned_row(**changes: Any) -> Planned:
    """Return a planned row of a photo that does not exist."""
    row = Planned(
        unit="u",
        photo_id="a/b c.jpg",
        variant=0,
        key="0123456789abcdef",
        seed=7,
        bucket=None,
        recipe_digest="r" * 64,
        uri="/none.jpg",
        map_uris=None,
        mask_uri=None,
        reference_uri=None,
        redacted=False,
        pose_keypoints=None,
        boxes=None,
        keypoints=None,
        prompt="a cat",
        negative_prompt="",
        prompt_error=None,
        superseded=False,
        manifest="{}",
    )
    return edit(row, **changes)


def fetched_row(photo: bytes, **changes: Any) -> Fetched:
    """Return a fetched row of a photo."""
    source = Source("e" * 64, len(photo))
    return edit(Fetched(planned_row(), Timing(STARTED), source, photo, (), None, None), **changes)


def decoded_row(pixels: Pixels, source: tuple[int, int], **changes: Any) -> Decoded:
    """Return a decoded row whose photo of the size `source` was scaled to square pixels [S, S, 3]."""
    height, width = pixels.shape[:2]
    transform = crop_transform(source, (width, height), "crop", np.empty((0, 2)))
    canvas = Canvas(
        source_width=source[0],
        source_height=source[1],
        source_profile=None,
        transform=transform_columns(transform),
        padding=padding_columns(Padding()),
        width=width,
        height=height,
        labels=Labels(None, None),
        mask=None,
    )
    return edit(Decoded(planned_row(), Timing(STARTED), Source("e" * 64, 9), canvas, pixels, (), None), **changes)


def mapped_row(decoded: Decoded, *maps: ControlMap | None) -> Mapped:
    """Return a mapped row with these control maps."""
    names = ("planned", "timing", "source", "canvas", "pixels", "provided", "reference")
    return Mapped(*(getattr(decoded, name) for name in names), maps)


def encoded_row(decoded: Decoded, image: bytes, *maps: ControlMap, **changes: Any) -> Encoded:
    """Return an encoded row with an image file and control maps."""
    made_by = MadeBy("cpu", "float32", "DDIMScheduler", "{}", (), "{}")
    row = Encoded(decoded.planned, decoded.timing, decoded.source, decoded.canvas, maps, made_by, image)
    return edit(row, **changes)


def blank_map(detector: str) -> ControlMap:
    """Return a black map of 64x64 pixels."""
    return ControlMap(detector, origin="blank", pixels=np.zeros((64, 64, 3), np.uint8))


def failed_row_of(planned: Planned, **changes: Any) -> Failed:
    """Return a row that failed in fetch."""
    failure = Failure("fetch", "FileMissingError", "fetch.not_found", "/none.jpg: not found", 1, retryable=False)
    return edit(Failed(planned, Timing(STARTED), failure), **changes)


def png(pixels: NDArray[Any]) -> bytes:
    """Return pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
