"""The columns of a manifest, which has one row for each photo."""

import pyarrow as pa

from schemas.detectors import DETECTORS
from schemas.row_parts import MANIFEST_BOX, POINTS

MAP_URIS = frozenset(f"{detector}_uri" for detector in DETECTORS)
REQUIRED = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),  # unique; never used as a path
        pa.field("uri", pa.string()),  # a local path or an fsspec address, relative to the folder of the manifest
    ]
)
OPTIONAL = pa.schema(
    [
        pa.field("width", pa.int32()),  # of the upright photo, in pixels
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("etag", pa.string()),  # changes whenever the content of the photo changes
        pa.field("modified", pa.timestamp("us", tz="UTC")),
        # Control maps, which replace those of the detectors. A map is an image file with the aspect ratio of the
        # upright photo. Pose keypoints replace the map of a pose detector. Their number per person decides the layout:
        # COCO has 17, OpenPose 18, BlazePose 33 and COCO-WholeBody 133.
        *(pa.field(name, pa.string()) for name in sorted(MAP_URIS)),
        pa.field("pose_keypoints", POINTS),
        # Prompts of the photo. They replace those of the recipe, or are inserted for {prompt} in them.
        pa.field("prompt", pa.string()),
        pa.field("negative_prompt", pa.string()),
        pa.field("reference_uri", pa.string()),  # the reference image of the IP-Adapter, for a style or a person
        # Labels, which are transformed to the pixels of the image.
        pa.field("boxes", pa.list_(MANIFEST_BOX)),  # x and y of the upper left corner, width, height, category
        pa.field("keypoints", POINTS),
        pa.field("mask_uri", pa.string()),  # an image with the aspect ratio of the upright photo; not 0 is inside
    ]
)
KNOWN = pa.schema([*REQUIRED, *OPTIONAL])
URIS = ("uri", "mask_uri", "reference_uri", *sorted(MAP_URIS))
