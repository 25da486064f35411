"""The columns between the steps: what each step adds to a row of the plan.

Pixels travel as raw bytes, uint8, row by row: `pixels` and a control map are [height, width, 3], RGB, 0..255,
of the canvas.
A *canvas* is what the nets see: the picture, and around it what a recipe that pads adds and the encoder cuts off again.
A row with a `failure` passes every later step untouched and ends as a row of provenance.
"""

from typing import Any, TypeAlias

import pyarrow as pa

Row: TypeAlias = dict[str, Any]
"""One row of a batch: the columns of the schema by name."""

POINTS = pa.list_(pa.list_(pa.float64()))
"""Of each person or thing, x, y, visibility of one keypoint after the other, in the upright photo's pixels."""
MANIFEST_BOX = pa.struct([*((name, pa.float64()) for name in ("x", "y", "w", "h")), ("category", pa.string())])

STAGES = ("fetch", "decode", "controls", "convert", "encode", "commit")

FAILURE = pa.struct(
    [
        ("stage", pa.string()),  # one of STAGES
        ("error", pa.string()),  # the class of pipeline.errors
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("retryable", pa.bool_()),
    ]
)
SECONDS = pa.struct([(stage, pa.float64()) for stage in STAGES])
# picture = photo * scale + offset, for points in pixels counted from the upper left corner of the upright photo, and of
# the picture as it is written: without the canvas's padding.
TRANSFORM = pa.struct(
    [
        ("orientation", pa.int32()),  # EXIF 1..8, applied first
        ("scale_x", pa.float64()),
        ("scale_y", pa.float64()),
        ("offset_x", pa.float64()),
        ("offset_y", pa.float64()),
        ("fit", pa.string()),  # crop, people or pad
        ("shrink", pa.int32()),  # 1, 2, 4 or 8: the part of its size at which a large JPEG was decoded
    ]
)
PADDING = pa.struct([(side, pa.int32()) for side in ("left", "top", "right", "bottom")])  # of the canvas, in pixels
# Labels of the manifest in the picture's pixels, clipped to it. `index` is the place in the manifest's list, `visible`
# the share that is still in the picture; what is below the recipe's `min_visible` is left out.
BOX = pa.struct([*MANIFEST_BOX, ("index", pa.int32()), ("visible", pa.float64())])
KEYPOINTS = pa.struct(
    [
        ("points", pa.list_(pa.float64())),  # x, y, visibility of each; three zeros where one is outside
        ("index", pa.int32()),
        ("visible", pa.float64()),
    ]
)
LABELS = pa.struct(
    [("boxes", pa.list_(BOX)), ("keypoints", pa.list_(KEYPOINTS)), ("mask_visible", pa.float64())]  # null without any
)
MODEL = pa.struct([("role", pa.string()), ("name", pa.string()), ("revision", pa.string()), ("sha256", pa.string())])
CONTROL_MAP = pa.struct(
    [
        ("detector", pa.string()),
        ("version", pa.string()),
        ("settings", pa.string()),  # JSON
        ("origin", pa.string()),  # detected, manifest or blank
        ("device", pa.string()),  # cpu or cuda, where a detector drew it
        ("cached", pa.bool_()),  # detected for another picture or run, and taken from the cache
        ("source_uri", pa.string()),  # of a picture that the manifest brought, without user and query
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
        ("prompt_chunks", pa.int32()),  # text encoder's windows, of 77 tokens, that the longer prompt takes
        ("batch_size", pa.int32()),  # pictures drawn at once
        ("compiled", pa.string()),  # yes, or why not
        ("retried", pa.string()),  # what had to be done again in float32 for a picture that was not finite
        ("nsfw", pa.bool_()),  # by the safety checker; null without one
        ("reference_sha256", pa.string()),  # of the file that an IP-Adapter saw, the row's or the recipe's
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
        ("map_uris", pa.list_(pa.struct([("detector", pa.string()), ("uri", pa.string())]))),  # maps of the manifest
        ("mask_uri", pa.string()),
        ("reference_uri", pa.string()),  # of an IP-Adapter's reference picture
        ("pose_keypoints", POINTS),
        ("boxes", pa.list_(MANIFEST_BOX)),
        ("keypoints", POINTS),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("prompt_error", pa.string()),  # why one that the photo brings is no template; null: both are
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
_BROUGHT = pa.list_(pa.struct([("detector", pa.string()), ("uri", pa.string()), ("content", pa.large_binary())]))
FETCHED = pa.schema(
    [
        *_KEPT,
        ("photo_bytes", pa.large_binary()),
        ("brought", _BROUGHT),  # the files of the manifest's maps
        ("mask_bytes", pa.large_binary()),
        ("reference_bytes", pa.large_binary()),  # the file of the row's reference picture
    ]
)
_SHAPED = [
    *_KEPT,
    pa.field("source_width", pa.int32()),  # upright
    pa.field("source_height", pa.int32()),
    pa.field("source_profile", pa.string()),  # that colours were brought from; null where they were sRGB already
    pa.field("transform", TRANSFORM),
    pa.field("padding", PADDING),
    pa.field("width", pa.int32()),  # of the canvas
    pa.field("height", pa.int32()),
    pa.field("labels", LABELS),
    pa.field("mask", pa.large_binary()),  # PNG of the picture's size: the manifest's mask in its own mode
]
_PIXELS = [pa.field("reference_bytes", pa.large_binary()), pa.field("pixels", pa.large_binary())]
DECODED = pa.schema([*_SHAPED, ("brought", _BROUGHT), *_PIXELS])
_MAPPED = [*_SHAPED, pa.field("maps", pa.list_(CONTROL_MAP))]  # one per detector of the recipe
MAPPED = pa.schema([*_MAPPED, *_PIXELS])
CONVERTED = pa.schema(
    [
        *_MAPPED,
        ("made_by", MADE_BY),
        ("picture", pa.large_binary()),  # the canvas's pixels, at `Recipe.enlargement` times its size
    ]
)
ENCODED = pa.schema([*_MAPPED, ("made_by", MADE_BY), ("picture_bytes", pa.large_binary())])
COMMITTED = pa.schema(
    [
        ("unit", pa.string()),
        ("photo_id", pa.string()),
        ("variant", pa.int32()),
        ("failed", pa.bool_()),
        ("detected", pa.int32()),  # control maps that a detector drew for this row
        ("cached", pa.int32()),  # and those that were there already
    ]
)
