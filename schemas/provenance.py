"""The rows of a record: everything to trace an image and to make it again, or why there is none."""

from dataclasses import dataclass
from datetime import datetime

from schemas.arrow import Int32, schema_of
from schemas.row_parts import Failure, Labels, MapFacts, ModelColumns, PaddingColumns, StageSeconds, TransformColumns


@dataclass(frozen=True)
class ControlRecord(MapFacts):
    """A control map, and how its ControlNet used it."""

    uri: str | None = None  # of the kept map, relative to the output; None unless --keep-maps
    file_sha256: str | None = None  # of the kept map's file
    net: str | None = None  # name of the ControlNet
    scale: float | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Record:
    """One variant of one photo."""

    status: str  # done or failed
    photo_id: str
    variant: Int32
    unit: str
    key: str
    run_id: str
    # The image. None if the row failed.
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
    transform: TransformColumns | None
    padding: PaddingColumns | None  # what the networks saw around the image, and the file leaves out
    # The labels of the manifest in pixels of the image.
    labels: Labels | None
    label_mask_uri: str | None  # of the transformed mask, relative to the output
    label_mask_sha256: str | None
    reference_uri: str | None  # of the row's reference image, without credentials and query
    manifest: str | None  # JSON: the other columns of the manifest
    # How the image was made.
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
    # How the work went.
    attempts: Int32
    started: datetime | None
    seconds: StageSeconds
    failure: Failure | None


PROVENANCE = schema_of(Record)
