"""The types of arrays that pass between the parts of the program."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""[height, width, 3], RGB, 0..255."""


Batch = NDArray[np.uint8]
"""[N, height, width, 3], RGB, 0..255: pictures of one shape."""
