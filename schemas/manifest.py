"""What users hand in: one row per photo."""

import pyarrow as pa

from schemas.detectors import DETECTORS
from schemas.work import MANIFEST_BOX, POINTS

MAP_URIS = frozenset(f"{detector}_uri" for detector in DETECTORS)
REQUIRED = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),  # unique; never used as a path
        pa.field("uri", pa.string()),  # any fsspec address; relative ones start at the manifest's folder
    ]
)
OPTIONAL = pa.schema(
    [
        pa.field("width", pa.int32()),  # of the upright photo, in pixels
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("etag", pa.string()),  # changes whenever the photo's content does
        pa.field("modified", pa.timestamp("us", tz="UTC")),
        # Control maps that are known: a picture of the upright photo's shape each, and the people in it. The number of
        # a person's keypoints tells their order: COCO's 17, OpenPose's 18, BlazePose's 33, COCO-WholeBody's 133.
        *(pa.field(name, pa.string()) for name in sorted(MAP_URIS)),
        pa.field("pose_keypoints", POINTS),
        # How this photo is to look: instead of the recipe's own, or where its prompt names {prompt}, within it.
        pa.field("prompt", pa.string()),
        pa.field("negative_prompt", pa.string()),
        pa.field("reference_uri", pa.string()),  # a picture whose style or person an IP-Adapter takes
        # Labels, which come along into the picture.
        pa.field("boxes", pa.list_(MANIFEST_BOX)),  # x and y of the upper left corner, width, height, category
        pa.field("keypoints", POINTS),
        pa.field("mask_uri", pa.string()),  # a picture of the upright photo's shape: what is not 0 belongs to it
    ]
)
KNOWN = pa.schema([*REQUIRED, *OPTIONAL])
URIS = ("uri", "mask_uri", "reference_uri", *sorted(MAP_URIS))
