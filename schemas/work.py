"""The columns between the steps: what each step adds to a row of the plan.

Pixels travel as raw bytes, uint8, row by row: `pixels` and a control map are [height, width, 3], RGB, 0..255.
A row with a `failure` passes every later step untouched and ends as a row of provenance.
"""

from typing import Any, TypeAlias

import pyarrow as pa

Row: TypeAlias = dict[str, Any]
"""One row of a batch: the columns of the schema by name."""

STAGES = ("fetch", "decode", "controls", "convert", "encode", "commit")

FAILURE = pa.struct(
    [
        ("stage", pa.string()),  # one of STAGES
        ("error", pa.string()),  # the class of pipeline.faults
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("retryable", pa.bool_()),
    ]
)
SECONDS = pa.struct([(stage, pa.float64()) for stage in STAGES])
# target = source * scale + offset, for points in pixels counted from the upper left corner of the upright photo.
TRANSFORM = pa.struct(
    [
        ("orientation", pa.int32()),  # EXIF 1..8, applied first
        ("scale_x", pa.float64()),
        ("scale_y", pa.float64()),
        ("offset_x", pa.float64()),
        ("offset_y", pa.float64()),
        ("fit", pa.string()),  # crop or pad
    ]
)
MODEL = pa.struct([("role", pa.string()), ("name", pa.string()), ("revision", pa.string()), ("sha256", pa.string())])
CONTROL_MAP = pa.struct(
    [
        ("detector", pa.string()),
        ("version", pa.string()),
        ("settings", pa.string()),  # JSON
        ("origin", pa.string()),  # detected, manifest or blank
        ("model", MODEL),  # of the detector's network; null where it has none
        ("sha256", pa.string()),  # of the map's raw pixels
        ("pixels", pa.large_binary()),  # [height, width, 3], uint8, RGB, 0..255
    ]
)
MADE_BY = pa.struct(
    [
        ("device", pa.string()),
        ("dtype", pa.string()),
        ("scheduler", pa.string()),
        ("scheduler_config", pa.string()),  # JSON
        ("models", pa.list_(MODEL)),
        ("prompt_tokens_cut", pa.int32()),  # beyond the text encoder's window: did not reach the picture
        ("versions", pa.string()),  # JSON: library -> version
    ]
)

PLAN = pa.schema(
    [
        ("unit", pa.string()),
        ("photo_id", pa.string()),
        ("variant", pa.int32()),
        ("key", pa.string()),  # hash of all that decides the picture; the same key is never planned twice
        ("seed", pa.int64()),
        ("bucket", pa.string()),  # WxH, where the manifest knows the photo's size
        ("recipe_digest", pa.string()),
        ("uri", pa.string()),  # in the plan without user and query; the run puts the manifest's own in
        ("depth_uri", pa.string()),
        ("pose_keypoints", pa.list_(pa.list_(pa.float64()))),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("manifest", pa.string()),  # JSON: the manifest's further columns
    ]
)
_KEPT = [
    *PLAN,
    pa.field("started", pa.timestamp("us", tz="UTC")),
    pa.field("seconds", SECONDS),
    pa.field("failure", FAILURE),
    pa.field("attempts", pa.int32()),
    pa.field("source_sha256", pa.string()),
    pa.field("source_bytes", pa.int64()),
]
FETCHED = pa.schema([*_KEPT, ("photo_bytes", pa.large_binary()), ("depth_bytes", pa.large_binary())])
_SHAPED = [
    *_KEPT,
    pa.field("source_width", pa.int32()),  # upright
    pa.field("source_height", pa.int32()),
    pa.field("transform", TRANSFORM),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
]
DECODED = pa.schema([*_SHAPED, ("depth_bytes", pa.large_binary()), ("pixels", pa.large_binary())])
_MAPPED = [*_SHAPED, pa.field("maps", pa.list_(CONTROL_MAP))]
MAPPED = pa.schema([*_MAPPED, ("pixels", pa.large_binary())])
CONVERTED = pa.schema([*_MAPPED, ("made_by", MADE_BY), ("picture", pa.large_binary())])
ENCODED = pa.schema([*_MAPPED, ("made_by", MADE_BY), ("picture_bytes", pa.large_binary())])
COMMITTED = pa.schema(
    [("unit", pa.string()), ("photo_id", pa.string()), ("variant", pa.int32()), ("failed", pa.bool_())]
)
