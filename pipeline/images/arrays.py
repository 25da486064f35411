"""Types of the image arrays that pass between modules."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""One image: [H, W, 3], uint8, RGB, 0..255."""

Batch = NDArray[np.uint8]
"""Images of one shape: [N, H, W, 3], uint8, RGB, 0..255."""
