"""The parts that rows of several stages share.

Photos, control maps and images are arrays [height, width, 3], uint8, RGB, 0..255.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.arrow import Int32, arrow_type

Pixels: TypeAlias = NDArray[np.uint8]
"""[height, width, 3], RGB, 0..255."""
Points: TypeAlias = tuple[tuple[float | None, ...] | None, ...]
"""For each person or object: x, y and visibility of one keypoint after the other, in pixels of the upright photo."""

STAGES = ("fetch", "decode", "controls", "convert", "encode", "commit")


@dataclass(frozen=True)
class Failure:
    """Why a row failed."""

    stage: str  # one of STAGES
    error: str  # the name of a class in pipeline.errors
    code: str  # the code of that class
    message: str
    attempts: Int32
    retryable: bool


@dataclass(frozen=True)
class StageSeconds:
    """The seconds that a row spent in each stage; None for a stage that it did not reach."""

    fetch: float | None = None
    decode: float | None = None
    controls: float | None = None
    convert: float | None = None
    encode: float | None = None
    commit: float | None = None


@dataclass(frozen=True)
class Timing:
    """When work on a row started, how often its photo was fetched, and how long each stage took."""

    started: datetime
    attempts: Int32 = 1
    seconds: StageSeconds = field(default_factory=StageSeconds)


@dataclass(frozen=True)
class MapUri:
    """The address of a control map that the manifest provides."""

    detector: str
    uri: str


@dataclass(frozen=True)
class ProvidedFile:
    """The file of a control map that the manifest provides."""

    detector: str
    uri: str
    content: bytes


@dataclass(frozen=True)
class ManifestBox:
    """A labelled box: x and y of its upper left corner, width and height, in pixels of the upright photo."""

    x: float | None
    y: float | None
    w: float | None
    h: float | None
    category: str | None


@dataclass(frozen=True)
class Box(ManifestBox):
    """A box in pixels of the image, clipped to it."""

    index: Int32  # position in the manifest's list
    visible: float  # share of its area that is inside the image


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of one person or object in pixels of the image."""

    points: tuple[float, ...]  # x, y and visibility of each; three zeros for one outside the image
    index: Int32  # position in the manifest's list
    visible: float  # share of the labelled keypoints that are inside the image


@dataclass(frozen=True)
class Labels:
    """The labels of a photo in pixels of the image. Labels below the recipe's `min_visible` are left out."""

    boxes: tuple[Box, ...] | None  # None if the manifest has no boxes
    keypoints: tuple[Keypoints, ...] | None
    mask_visible: float | None = None  # share of the mask that is inside the image


@dataclass(frozen=True)
class TransformColumns:
    """image = photo * scale + offset, in pixels from the upper left corner of the upright photo and of the image."""

    orientation: Int32  # EXIF 1..8, applied first
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    fit: str  # crop, people or pad
    shrink: Int32  # 1, 2, 4 or 8: a large JPEG was decoded at 1 / shrink of its size


@dataclass(frozen=True)
class PaddingColumns:
    """The padding of a canvas around its image, in pixels."""

    left: Int32
    top: Int32
    right: Int32
    bottom: Int32


@dataclass(frozen=True)
class Source:
    """The file of a photo."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Canvas:
    """How a photo was placed on its canvas."""

    source_width: Int32  # upright
    source_height: Int32
    source_profile: str | None  # the colour profile that was converted to sRGB; None if the photo was sRGB
    transform: TransformColumns
    padding: PaddingColumns
    width: Int32  # of the canvas
    height: Int32
    labels: Labels
    mask: bytes | None  # the manifest's mask in pixels of the image, a PNG in its own mode


@dataclass(frozen=True)
class ModelColumns:
    """A model that was used."""

    role: str
    name: str
    revision: str
    sha256: str


@dataclass(frozen=True)
class MapFacts:
    """How a control map was made."""

    detector: str
    version: str | None = None
    settings: str | None = None  # JSON
    origin: str | None = None  # detected, manifest, photo or blank
    device: str | None = None  # cpu or cuda
    cached: bool | None = None  # detected for another image or run, and read from the cache
    source_uri: str | None = None  # of a map that the manifest provides, without credentials and query
    model: ModelColumns | None = None  # the detector's network; None if it has none
    sha256: str | None = None  # of the map's pixels


@dataclass(frozen=True)
class ControlMap(MapFacts):
    """A control map. Its pixels are removed when no later step needs them."""

    pixels: Pixels | None = None


@dataclass(frozen=True)
class MadeBy:
    """How an image was generated."""

    device: str
    dtype: str
    scheduler: str
    scheduler_config: str  # JSON
    models: tuple[ModelColumns, ...]
    versions: str  # JSON: library -> version
    prompt_chunks: Int32 = 1  # windows of 77 tokens that the longer prompt takes
    batch_size: Int32 = 1
    compiled: str | None = None  # yes, or why not
    retried: str | None = None  # what was repeated in float32 because the image was not finite
    nsfw: bool | None = None  # result of the safety checker; None without one
    reference_sha256: str | None = None  # of the file that the IP-Adapter received


POINTS = arrow_type(Points)
MANIFEST_BOX = arrow_type(ManifestBox)
