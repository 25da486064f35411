"""The rows between the steps: one frozen dataclass for each stage of a photo. Their Arrow schemas follow from them.

    Planned ─ fetch ─ Fetched ─ decode ─ Decoded ─ control maps ─ Mapped ─ convert ─ Converted ─ encode ─ Encoded

A row that fails becomes `Failed`, passes every later step unchanged, and ends as a failed row of provenance.

The *canvas* is what the networks process: the image, and around it the padding of a recipe with `fit: pad`, which is
removed when the image is encoded.
"""

from dataclasses import dataclass

from schemas.arrow import Int32, schema_of
from schemas.row_parts import (
    Canvas,
    ControlMap,
    Failure,
    MadeBy,
    ManifestBox,
    MapUri,
    Pixels,
    Points,
    ProvidedFile,
    Source,
    Timing,
)


@dataclass(frozen=True)
class Planned:
    """A row of the plan: one variant of one photo."""

    unit: str
    photo_id: str
    variant: Int32
    key: str  # hash of everything that decides the image; a key is planned once
    seed: int
    bucket: str | None  # WxH, if the manifest has the photo's size
    recipe_digest: str
    uri: str | None  # in the plan without credentials and query, which the run takes from the manifest
    map_uris: tuple[MapUri, ...] | None
    mask_uri: str | None
    reference_uri: str | None  # the IP-Adapter's reference image
    pose_keypoints: Points | None
    boxes: tuple[ManifestBox | None, ...] | None
    keypoints: Points | None
    prompt: str
    negative_prompt: str
    prompt_error: str | None  # why a prompt of the manifest is invalid
    manifest: str  # JSON: the other columns of the manifest


@dataclass(frozen=True)
class Fetched:
    """A row with the content of its files."""

    planned: Planned
    timing: Timing
    source: Source
    photo: bytes
    provided: tuple[ProvidedFile, ...]
    mask: bytes | None
    reference: bytes | None


@dataclass(frozen=True)
class Decoded:
    """A row with the pixels of its photo on the canvas."""

    planned: Planned
    timing: Timing
    source: Source
    canvas: Canvas
    pixels: Pixels
    provided: tuple[ProvidedFile, ...]
    reference: bytes | None


@dataclass(frozen=True)
class Mapped(Decoded):
    """A row with a control map for each detector of the recipe; None for a map that the GPU worker detects."""

    maps: tuple[ControlMap | None, ...]


@dataclass(frozen=True)
class Converted:
    """A row with its image on the canvas, at `Recipe.enlargement` times the size of the canvas."""

    planned: Planned
    timing: Timing
    source: Source
    canvas: Canvas
    maps: tuple[ControlMap, ...]
    made_by: MadeBy
    image: Pixels


@dataclass(frozen=True)
class Encoded:
    """A row with the bytes of its image file. A run of mode maps has no image."""

    planned: Planned
    timing: Timing
    source: Source
    canvas: Canvas
    maps: tuple[ControlMap, ...]
    made_by: MadeBy | None
    image: bytes | None


@dataclass(frozen=True)
class Failed:
    """A row that failed, with what was known of it before."""

    planned: Planned
    timing: Timing
    failure: Failure
    source: Source | None = None
    canvas: Canvas | None = None
    maps: tuple[ControlMap | None, ...] | None = None
    made_by: MadeBy | None = None


@dataclass(frozen=True)
class Committed:
    """A row that was written, in the driver's counts."""

    unit: str
    photo_id: str
    variant: Int32
    failed: bool
    code: str | None  # of the error, if the row failed
    message: str | None
    detected: Int32  # control maps that a detector found for this row
    cached: Int32  # control maps that were shared with another row or run


PLAN = schema_of(Planned)
