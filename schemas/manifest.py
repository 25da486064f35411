"""The columns of a manifest, which has one row for each photo."""

import pyarrow as pa

from schemas.detectors import DETECTORS
from schemas.row_parts import MANIFEST_BOX, POINTS

MAP_URIS = frozenset(f"{detector}_uri" for detector in DETECTORS)
REQUIRED = pa.schema(
    [
        # Any text that is unique in the manifest. File names contain a safe form of it.
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("uri", pa.string()),  # a local path or an fsspec address, relative to the folder of the manifest
    ]
)
OPTIONAL = pa.schema(
    [
        pa.field("width", pa.int32()),  # of the photo after its EXIF orientation is applied, in pixels
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),  # size of the file
        pa.field("etag", pa.string()),  # identifies the content of the file
        pa.field("modified", pa.timestamp("us", tz="UTC")),
        # Control maps, which are used instead of detected ones. A map is an image file with the aspect ratio of the
        # upright photo. Pose keypoints replace the map of every pose detector. The number of keypoints per person
        # selects the layout: 17 for COCO, 18 for OpenPose, 33 for BlazePose and 133 for COCO-WholeBody.
        *(pa.field(name, pa.string()) for name in sorted(MAP_URIS)),
        pa.field("pose_keypoints", POINTS),
        # Prompts of the photo. Each replaces the prompt of the recipe. If that prompt contains the placeholder {prompt}
        # (or {negative_prompt}), only the placeholder is replaced.
        pa.field("prompt", pa.string()),
        pa.field("negative_prompt", pa.string()),
        pa.field("reference_uri", pa.string()),  # the image that the IP-Adapter receives
        # Labels, which are transformed to the coordinates of the image.
        pa.field("boxes", pa.list_(MANIFEST_BOX)),  # x and y of the upper left corner, width, height, category
        pa.field("keypoints", POINTS),
        pa.field("mask_uri", pa.string()),  # an image with the aspect ratio of the upright photo; 0 is outside the mask
    ]
)
KNOWN = pa.schema([*REQUIRED, *OPTIONAL])
URIS = ("uri", "mask_uri", "reference_uri", *sorted(MAP_URIS))
