"""One row per photo and variant: everything to trace a picture and to make it again, or why there is none."""

import pyarrow as pa

from schemas.work import CONTROL_MAP, FAILURE, LABELS, MODEL, PADDING, SECONDS, TRANSFORM

CONTROL = pa.struct(
    [
        *(field for field in CONTROL_MAP if field.name != "pixels"),
        ("uri", pa.string()),  # of the kept map, relative to the output; null unless --keep-maps
        ("file_sha256", pa.string()),  # of the kept map's file
        ("net", pa.string()),
        ("scale", pa.float64()),
        ("start", pa.float64()),
        ("end", pa.float64()),
    ]
)

PROVENANCE = pa.schema(
    [
        ("status", pa.string()),  # done or failed
        ("photo_id", pa.string()),
        ("variant", pa.int32()),
        ("unit", pa.string()),
        ("key", pa.string()),
        ("run_id", pa.string()),
        # The picture: null where the row failed.
        ("uri", pa.string()),  # relative to the output
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        # The photo.
        ("source_uri", pa.string()),  # without user and query
        ("source_sha256", pa.string()),
        ("source_bytes", pa.int64()),
        ("source_width", pa.int32()),  # upright
        ("source_height", pa.int32()),
        ("source_profile", pa.string()),  # the colour profile that was converted to sRGB, or why it was ignored
        ("transform", TRANSFORM),
        ("padding", PADDING),  # what the nets saw around the picture, cut off again
        # The manifest's labels in the picture's pixels.
        ("labels", LABELS),
        ("label_mask_uri", pa.string()),  # of the transformed mask, relative to the output
        ("label_mask_sha256", pa.string()),
        ("reference_uri", pa.string()),  # of the row's reference picture, without user and query
        ("manifest", pa.string()),  # JSON: the manifest's further columns
        # How it was made.
        ("recipe", pa.string()),
        ("recipe_digest", pa.string()),
        ("settings", pa.string()),  # JSON: every resolved setting of the recipe
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("prompt_chunks", pa.int32()),
        ("seed", pa.int64()),
        ("models", pa.list_(MODEL)),
        ("controls", pa.list_(CONTROL)),
        ("scheduler", pa.string()),
        ("scheduler_config", pa.string()),  # JSON
        ("dtype", pa.string()),
        ("device", pa.string()),
        ("batch_size", pa.int32()),
        ("compiled", pa.string()),
        ("retried", pa.string()),
        ("nsfw", pa.bool_()),
        ("reference_sha256", pa.string()),
        ("versions", pa.string()),  # JSON
        ("project_version", pa.string()),
        ("git_commit", pa.string()),
        # How it went.
        ("attempts", pa.int32()),
        ("started", pa.timestamp("us", tz="UTC")),
        ("seconds", SECONDS),
        ("failure", FAILURE),
    ]
)
