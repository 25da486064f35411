"""The rows that the steps receive and return: one frozen dataclass for each stage of a photo.

    Unit ─ load ─ Planned ─ fetch ─ Fetched ─ decode ─ Decoded
        ─ control maps ─ Mapped ─ convert ─ Converted ─ encode ─ Encoded

In mode maps, the last stage is `Mapped`. A row that fails becomes a `Failed` row, which the later steps return
unchanged. Between the steps, rows are stored in Arrow tables, whose schemas are derived from the dataclasses
(see `schemas.arrow`).

The *canvas* is the array of pixels that the networks process. With `fit: pad` it is the image and a border of padding,
which is cropped when the image is encoded. Otherwise it is the image alone.
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
class PlannedUnit:
    """A row of the index of a plan: the position of the rows of one unit."""

    unit: str  # the name of the unit, a hash of the keys of its rows
    part: str  # the name of a file in the folder of the plan
    start: int  # the position of the first row of the unit in the file
    rows: Int32
    recipe_digest: str


@dataclass(frozen=True)
class PlanRow:
    """A stored row of a plan: one variant of one photo."""

    unit: str
    photo_id: str
    variant: Int32
    key: str  # hash of everything that decides the image; identifies the row
    seed: int
    bucket: str | None  # size of the canvas as WxH; None if the manifest does not have the size of the photo
    recipe_digest: str
    uri: str | None  # without credentials and query, which a run takes from the manifest
    map_uris: tuple[MapUri, ...] | None  # like `uri`, as are the next two
    mask_uri: str | None
    reference_uri: str | None  # the reference image of the IP-Adapter
    redacted: bool  # whether credentials or a query were removed from one of the addresses
    pose_keypoints: Points | None
    boxes: tuple[ManifestBox | None, ...] | None
    keypoints: Points | None
    prompt: str | None  # of the manifest
    negative_prompt: str | None
    manifest: str  # the other columns of the manifest, as JSON


@dataclass(frozen=True)
class Addresses:
    """The addresses of a row of the manifest, with their credentials."""

    key: str
    uri: str | None
    map_uris: tuple[MapUri, ...] | None
    mask_uri: str | None
    reference_uri: str | None


@dataclass(frozen=True)
class Unit:
    """A unit that a run has to process. Its rows are loaded by the process that fetches its photos."""

    unit: str
    uri: str  # of the file of the plan that has its rows
    start: int  # the position of the first row of the unit in the file
    rows: Int32
    pending: Int32  # rows to process; the others are done in an earlier record of the unit
    keys: tuple[str, ...] | None = None  # keys of the rows to process; None for all rows
    superseded: tuple[str, ...] | None = None  # keys of rows that a later plan replaced or removed
    addresses: tuple[Addresses, ...] | None = None  # of the rows that have credentials


@dataclass(frozen=True)
class Planned:
    """A row of a unit, with its prompts, and with the credentials of its addresses."""

    unit: str
    photo_id: str
    variant: Int32
    key: str
    seed: int
    bucket: str | None
    recipe_digest: str
    uri: str | None
    map_uris: tuple[MapUri, ...] | None
    mask_uri: str | None
    reference_uri: str | None
    redacted: bool  # whether the credentials are missing, because the manifest of the run does not have the row
    pose_keypoints: Points | None
    boxes: tuple[ManifestBox | None, ...] | None
    keypoints: Points | None
    prompt: str
    negative_prompt: str
    prompt_error: str | None  # the reason if a prompt of the manifest is invalid
    superseded: bool  # whether a later plan replaced or removed the row, which then fails without being fetched
    manifest: str


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
    """A row with one control map for each detector of the recipe.

    A map is None if the GPU worker has yet to detect it.
    """

    maps: tuple[ControlMap | None, ...]


@dataclass(frozen=True)
class Converted:
    """A row with its image, still with the padding of the canvas.

    The image is `Recipe.enlargement` times as wide and high as the canvas.
    """

    planned: Planned
    timing: Timing
    source: Source
    canvas: Canvas
    maps: tuple[ControlMap, ...]
    made_by: MadeBy
    image: Pixels


@dataclass(frozen=True)
class Encoded:
    """A row with the bytes of its image file."""

    planned: Planned
    timing: Timing
    source: Source
    canvas: Canvas
    maps: tuple[ControlMap, ...]
    made_by: MadeBy
    image: bytes


@dataclass(frozen=True)
class Failed:
    """A row that failed, with the results of the earlier stages."""

    planned: Planned
    timing: Timing
    failure: Failure
    source: Source | None = None
    canvas: Canvas | None = None
    maps: tuple[ControlMap | None, ...] | None = None
    made_by: MadeBy | None = None


PLAN = schema_of(PlanRow)
PLANNED_UNITS = schema_of(PlannedUnit)
UNITS = schema_of(Unit)
