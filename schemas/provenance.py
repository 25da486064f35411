"""The columns of provenance: one row for each photo and variant, with all data to trace and reproduce its image."""

import pyarrow as pa

from schemas.work import CONTROL_MAP, FAILURE, LABELS, MODEL, PADDING, SECONDS, TRANSFORM

CONTROL = pa.struct(
    [
        *(field for field in CONTROL_MAP if field.name != "pixels"),
        ("uri", pa.string()),  # of the map file, relative to the output; null without --keep-maps
        ("file_sha256", pa.string()),  # of the map file
        ("net", pa.string()),  # the ControlNet
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
        # The image. These columns are null if the row failed.
        ("uri", pa.string()),  # relative to the output
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        # The photo.
        ("source_uri", pa.string()),  # without login and query
        ("source_sha256", pa.string()),
        ("source_bytes", pa.int64()),
        ("source_width", pa.int32()),  # of the upright photo, in pixels
        ("source_height", pa.int32()),
        ("source_profile", pa.string()),  # colour profile that was converted to sRGB, or why it was ignored
        ("transform", TRANSFORM),
        ("padding", PADDING),  # around the image during generation, in pixels; removed afterwards
        # The labels of the manifest, in pixels of the image.
        ("labels", LABELS),
        ("label_mask_uri", pa.string()),  # of the transformed mask, relative to the output
        ("label_mask_sha256", pa.string()),
        ("reference_uri", pa.string()),  # of the reference image of the row, without login and query
        ("manifest", pa.string()),  # JSON: the columns of the manifest that the run does not use
        # How the image was generated.
        ("recipe", pa.string()),
        ("recipe_digest", pa.string()),
        ("settings", pa.string()),  # JSON: all resolved settings of the recipe
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
        # How long it took, and why it failed.
        ("attempts", pa.int32()),
        ("started", pa.timestamp("us", tz="UTC")),
        ("seconds", SECONDS),
        ("failure", FAILURE),
    ]
)
