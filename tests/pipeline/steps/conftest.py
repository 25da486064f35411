"""Rows that the tests of the steps share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.work import Decoded
from tests.rows import decoded_row


@pytest.fixture
def decoded(data: Path) -> Decoded:
    """Return the astronaut, 512x512, decoded to 64x64."""
    photo = Image.open(data / "astronaut.png").convert("RGB")
    return decoded_row(np.asarray(photo.resize((64, 64))), photo.size)
