"""Write the manifest of the demo: photos of scikit-image, the pose of a person, and a depth map of a motorcycle."""

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.ndimage import distance_transform_edt

from pipeline import storage
from pipeline.plan.listing import list_photos
from schemas.manifest import KNOWN

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png")

# Index of COCO keypoint -> x and y in pixels of the photo, for the visible keypoints. Annotated by hand.
ASTRONAUT = {
    0: (225, 122), 1: (245, 104), 2: (202, 101), 3: (272, 128), 4: (176, 122),  # nose, eyes, ears
    5: (328, 264), 6: (74, 264), 8: (58, 418), 10: (138, 496),  # shoulders, right elbow and wrist
}  # fmt: skip


def write_demo_manifest(folder: Path) -> Path:
    """Write the manifest and the depth map to `folder`. Returns the path of the manifest."""
    data = Path(str(files("skimage").joinpath("data")))
    depth = folder.absolute() / "motorcycle_left.depth.png"
    storage.put(str(depth), _depth_png(data / "motorcycle_disp.npz"))
    rows = [row for row in list_photos(str(data)).to_pylist() if row["photo_id"] in PHOTOS]
    for row in rows:
        row["depth_uri"] = str(depth) if row["photo_id"] == "motorcycle_left.png" else None
        row["pose_keypoints"] = [_coco_keypoints(ASTRONAUT)] if row["photo_id"] == "astronaut.png" else None
    manifest = folder / "manifest.parquet"
    storage.put_table(str(manifest), pa.Table.from_pylist(rows, KNOWN))
    return manifest


def _coco_keypoints(visible: dict[int, tuple[int, int]]) -> list[float]:
    """Return x, y and visibility of COCO's 17 keypoints, as 51 numbers; zeros for a keypoint that is not visible."""
    points = [(*visible[index], 2) if index in visible else (0, 0, 0) for index in range(17)]
    return [float(number) for point in points for number in point]


def _depth_png(path: Path) -> bytes:
    """Encode a measured disparity (larger is nearer) as a 16-bit PNG. Fills gaps with the nearest measured value."""
    with np.load(path) as archive:
        disparity = archive["arr_0"]  # [H, W], float32, in pixels; not finite where the measurement failed
    unknown = ~np.isfinite(disparity)
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled = disparity[tuple(nearest)]
    scaled = np.rint(filled / filled.max() * 65535).astype(np.uint16)  # [H, W]
    buffer = io.BytesIO()
    Image.fromarray(scaled).save(buffer, "png")
    return buffer.getvalue()
