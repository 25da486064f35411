"""What the tests of training share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def astronaut(data: Path) -> np.ndarray:
    """Return a photo of 256 x 256 pixels."""
    return np.asarray(Image.open(data / "astronaut.png").convert("RGB").resize((256, 256)))
