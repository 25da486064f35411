"""Conversion of relative depth to a control map."""

import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels


def depth_to_map(depth: NDArray[np.floating]) -> Pixels:
    """Convert relative depth to a control map of the full range 0..255, as depth ControlNets expect.

    Args:
        depth: [H, W], of any range; larger is nearer.

    Returns:
        [H, W, 3], uint8: the nearest pixel is 255, the farthest is 0. The map of a constant depth is black.
    """
    low, high = float(depth.min()), float(depth.max())
    span = high - low
    scaled = (depth - low) / span if span > 0 else np.zeros_like(depth)
    grey = np.rint(scaled * 255.0).astype(np.uint8)  # [H, W], uint8, 0..255
    return np.repeat(grey[:, :, None], 3, axis=2)
