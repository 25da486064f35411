"""The columns of provenance: how an image was made, in enough detail to make it again, or why its row failed."""

from dataclasses import dataclass
from datetime import datetime

from schemas.arrow import Int32, schema_of
from schemas.row_parts import Failure, Labels, MapFacts, ModelColumns, PaddingColumns, StageSeconds, TransformColumns


@dataclass(frozen=True)
class ControlRecord(MapFacts):
    """A control map, and how its ControlNet used it."""

    uri: str | None = None  # relative to the output; None unless the map was written: with --keep-maps, or in mode maps
    file_sha256: str | None = None
    net: str | None = None  # the name of the ControlNet
    scale: float | None = None
    start: float | None = None  # the fraction of the steps at which the ControlNet starts
    end: float | None = None  # the fraction of the steps at which it ends


@dataclass(frozen=True)
class RecordRow:
    """One row of a record: a variant of a photo."""

    status: str  # done or failed
    photo_id: str
    variant: Int32
    unit: str
    key: str  # hash of everything that decides the image
    run_id: str
    # The image. None if the row failed. In mode maps, only width and height are set.
    uri: str | None  # relative to the output
    sha256: str | None
    bytes: int | None
    width: Int32 | None
    height: Int32 | None
    # The photo.
    source_uri: str | None  # without credentials and query
    source_sha256: str | None
    source_bytes: int | None
    source_width: Int32 | None  # upright
    source_height: Int32 | None
    source_profile: str | None  # the colour profile that was converted to sRGB, or why it was ignored
    transform: TransformColumns | None  # from the upright photo to the image
    # The border around the image that the networks process too. The image file does not contain it.
    padding: PaddingColumns | None
    # The labels of the manifest in pixels of the image.
    labels: Labels | None
    label_mask_uri: str | None  # of the transformed mask, relative to the output
    label_mask_sha256: str | None
    reference_uri: str | None  # of the row's reference image, without credentials and query
    manifest: str | None  # JSON: the other columns of the manifest
    # How the image was made. `schemas.row_parts.MadeBy` describes `compiled`, `retried`, `nsfw` and `reference_sha256`.
    recipe: str
    recipe_digest: str | None
    settings: str  # JSON: every resolved setting of the recipe
    prompt: str | None
    negative_prompt: str | None
    prompt_chunks: Int32 | None
    seed: int | None
    models: tuple[ModelColumns, ...] | None
    controls: tuple[ControlRecord, ...]
    scheduler: str | None
    scheduler_config: str | None  # JSON
    dtype: str | None
    device: str | None
    batch_size: Int32 | None
    compiled: str | None
    retried: str | None
    nsfw: bool | None
    reference_sha256: str | None
    versions: str | None  # JSON
    project_version: str
    git_commit: str | None
    # The execution.
    attempts: Int32  # how often the photo was requested; 1 also for a row that is not fetched
    started: datetime | None
    seconds: StageSeconds
    failure: Failure | None


PROVENANCE = schema_of(RecordRow)
