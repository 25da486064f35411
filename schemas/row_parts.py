"""Dataclasses for the fields of rows, shared by the stages in `schemas.work` and by provenance.

Decoded photos, control maps and images are arrays [height, width, 3], uint8, RGB, 0..255. Files are bytes.
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
"""One tuple (x, y, visibility, x, y, visibility, ...) for each person or object, in pixels of the upright photo."""

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
    """The seconds of each stage; None for a stage that the row did not reach."""

    fetch: float | None = None
    decode: float | None = None
    controls: float | None = None
    convert: float | None = None
    encode: float | None = None
    commit: float | None = None


@dataclass(frozen=True)
class Timing:
    """The start of the work on a row, and the seconds of each stage."""

    started: datetime
    attempts: Int32 = 1  # how often the photo was requested; 1 also for a row that is not fetched
    seconds: StageSeconds = field(default_factory=StageSeconds)


@dataclass(frozen=True)
class MapUri:
    """The address of a control map of the manifest."""

    detector: str
    uri: str


@dataclass(frozen=True)
class ProvidedFile:
    """The content of a control map of the manifest."""

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
    """A box in pixels of the image, clipped to the image."""

    index: Int32  # position in the list of the manifest
    visible: float  # fraction of the area of the box that is inside the image


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of one person or object in pixels of the image."""

    points: tuple[float, ...]  # x, y and visibility of each keypoint; zeros if it is unlabelled or outside the image
    index: Int32  # position in the list of the manifest
    visible: float  # fraction of the labelled keypoints that are inside the image


@dataclass(frozen=True)
class Labels:
    """The labels of a photo in pixels of the image, without those that are less visible than `Recipe.min_visible`."""

    boxes: tuple[Box, ...] | None  # None if the manifest has no boxes
    keypoints: tuple[Keypoints, ...] | None  # None if the manifest has no keypoints
    mask_visible: float | None = None  # fraction of the mask that is inside the image


@dataclass(frozen=True)
class TransformColumns:
    """The transform from photo to image: `image = photo * scale + offset`.

    `photo` is a position in the upright photo, `image` is the same position in the image, both in pixels from the upper
    left corner.
    """

    orientation: Int32  # EXIF orientation of the file, 1..8, which is applied first
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    fit: str  # crop, people or pad
    shrink: Int32  # 1, 2, 4 or 8: a JPEG was decoded at 1 / shrink of its size


@dataclass(frozen=True)
class PaddingColumns:
    """The padding of a canvas around its image, in pixels."""

    left: Int32
    top: Int32
    right: Int32
    bottom: Int32


@dataclass(frozen=True)
class Source:
    """The digest and the size of the file of a photo."""

    sha256: str
    bytes: int  # size of the file


@dataclass(frozen=True)
class Canvas:
    """The size of a canvas, and the transform of the photo and its labels."""

    source_width: Int32  # of the upright photo
    source_height: Int32
    source_profile: str | None  # colour profile, see `pipeline.images.color.to_srgb`; None for sRGB or no profile
    transform: TransformColumns
    padding: PaddingColumns
    width: Int32  # of the canvas
    height: Int32
    labels: Labels
    mask: bytes | None  # the mask of the manifest, transformed to the image, as a PNG of the same mode


@dataclass(frozen=True)
class ModelColumns:
    """The columns that identify a model, see `pipeline.models.resolve.LocatedModel`."""

    role: str
    name: str
    revision: str
    sha256: str


@dataclass(frozen=True)
class MapFacts:
    """The origin of a control map."""

    detector: str
    version: str | None = None  # name and version of the library of the detector
    settings: str | None = None  # of the detector, as JSON
    origin: str | None = None  # detected, manifest, photo or blank
    device: str | None = None  # cpu or cuda
    cached: bool | None = None  # whether the map was detected for another row, recipe or run
    source_uri: str | None = None  # address of a map of the manifest, without credentials and query
    model: ModelColumns | None = None  # the network of the detector, if it has one
    sha256: str | None = None  # of the pixels of the map


@dataclass(frozen=True)
class ControlMap(MapFacts):
    """A control map. Its pixels are None after the last step that needs them."""

    pixels: Pixels | None = None


@dataclass(frozen=True)
class MadeBy:
    """The models, software and device that generated an image."""

    device: str
    dtype: str
    scheduler: str
    scheduler_config: str  # as JSON
    models: tuple[ModelColumns, ...]
    versions: str  # library -> version, as JSON
    prompt_chunks: Int32 = 1  # number of 77-token chunks of the prompt or the negative prompt, whichever is longer
    batch_size: Int32 = 1
    compiled: str | None = None  # `yes`, or the reason why the models were not compiled
    retried: str | None = None  # descriptions of the retries in float32, separated by commas; None without retries
    nsfw: bool | None = None  # result of the safety checker; None without a safety checker
    reference_sha256: str | None = None  # of the reference image of the IP-Adapter


POINTS = arrow_type(Points)
MANIFEST_BOX = arrow_type(ManifestBox)
