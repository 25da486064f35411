"""The demo's manifest: scikit-image's photos, the astronaut's pose and the motorcycle's measured disparity."""

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.ndimage import distance_transform_edt

from pipeline import storage
from pipeline.plan.manifest import list_photos
from schemas.manifest import KNOWN

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png")


# COCO's keypoints of the astronaut by number, x and y in the photo's pixels, placed by eye; the rest is not to be seen.
ASTRONAUT = {
    0: (225, 122), 1: (245, 104), 2: (202, 101), 3: (272, 128), 4: (176, 122),  # nose, eyes, ears
    5: (328, 264), 6: (74, 264), 8: (58, 418), 10: (138, 496),  # shoulders, right elbow and wrist
}  # fmt: skip


def write_demo_manifest(folder: Path) -> Path:
    """Write the manifest and the depth picture it names below `folder`; return the manifest's path."""
    data = Path(str(files("skimage").joinpath("data")))
    depth = folder.absolute() / "motorcycle_left.depth.png"
    storage.put(str(depth), _depth_png(data / "motorcycle_disp.npz"))
    listed = [row for row in list_photos(str(data)).to_pylist() if row["photo_id"] in PHOTOS]
    for row in listed:
        row["depth_uri"] = str(depth) if row["photo_id"] == "motorcycle_left.png" else None
        row["pose_keypoints"] = [_coco(ASTRONAUT)] if row["photo_id"] == "astronaut.png" else None
    manifest = folder / "manifest.parquet"
    storage.put_table(str(manifest), pa.Table.from_pylist(listed, KNOWN))
    return manifest


def _coco(found: dict[int, tuple[int, int]]) -> list[float]:
    """Return COCO's 51 numbers of a person; a keypoint that was not found is three zeros."""
    return [float(number) for index in range(17) for number in ((*found[index], 2) if index in found else (0, 0, 0))]


def _depth_png(measured: Path) -> bytes:
    """Return measured disparity, larger is nearer, as a 16-bit picture; unmeasured pixels take their neighbour's."""
    with np.load(measured) as stored:
        disparity = stored["arr_0"]  # [H, W], float32, pixels; not finite where it was not measured
    unknown = ~np.isfinite(disparity)
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    whole = disparity[tuple(nearest)]
    scaled = np.rint(whole / whole.max() * 65535).astype(np.uint16)  # [H, W]
    buffer = io.BytesIO()
    Image.fromarray(scaled).save(buffer, "png")
    return buffer.getvalue()
