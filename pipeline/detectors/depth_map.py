"""From relative depth of any range to the map that depth nets expect."""

import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels


def depth_to_map(depth: NDArray[np.floating]) -> Pixels:
    """Return `depth` [H, W], larger is nearer, stretched to 0..255 by its minimum and maximum; a flat one is black."""
    low, high = float(depth.min()), float(depth.max())
    span = high - low
    scaled = (depth - low) / span if span > 0 else np.zeros_like(depth)
    grey = np.rint(scaled * 255.0).astype(np.uint8)  # [H, W]
    return np.repeat(grey[:, :, None], 3, axis=2)
