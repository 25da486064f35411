"""The demo's manifest: real photos, a pose and a measured depth that fit them."""

from pathlib import Path

import numpy as np
from PIL import Image

from jobs.demo_photos import PHOTOS, write_demo_manifest
from pipeline.manifest import read_manifest


def test_six_photos_a_pose_and_a_depth(tmp_path: Path) -> None:
    rows = {row["photo_id"]: row for row in read_manifest(str(write_demo_manifest(tmp_path))).to_pylist()}
    assert sorted(rows) == sorted(PHOTOS)
    assert all(Path(row["uri"]).is_file() for row in rows.values())
    (person,) = rows["astronaut.png"]["pose_keypoints"]
    assert len(person) == 51
    assert [name for name, row in rows.items() if row["pose_keypoints"]] == ["astronaut.png"]
    assert [name for name, row in rows.items() if row["depth_uri"]] == ["motorcycle_left.png"]
    depth = np.asarray(Image.open(rows["motorcycle_left.png"]["depth_uri"]))
    assert (depth.shape, depth.dtype) == ((500, 741), np.uint16)
    assert depth[300, 350] > 1.3 * depth[20, 350]  # the motorcycle is nearer than the shed's wall
