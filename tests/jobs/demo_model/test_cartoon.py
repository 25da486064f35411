"""The classical drawing: flat where the photo is not, lines where it has edges, nothing moved."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import metrics
from jobs.demo_model.cartoon import cartoon


def test_a_drawing_is_flatter_and_has_dark_lines_where_the_photo_has_edges(data: Path) -> None:
    photo = np.asarray(Image.open(data / "astronaut.png").convert("RGB").resize((256, 256)))
    drawn = cartoon(photo)
    assert (drawn.shape, drawn.dtype) == (photo.shape, np.uint8)
    assert metrics.flat_share(drawn) > 1.5 * metrics.flat_share(photo)
    wanted = metrics.edges(photo)
    assert metrics.line_darkness(drawn, wanted) > metrics.line_darkness(photo, wanted)
    assert metrics.edge_f1(metrics.edges(drawn), wanted) > 0.7


def test_lightness_falls_into_few_steps_and_grey_stays_grey() -> None:
    ramp = np.repeat(np.linspace(0, 255, 256)[None, :, None], 64, axis=0).repeat(3, axis=2).astype(np.uint8)
    lab = cv2.cvtColor(cartoon(ramp).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[32]
    counted, _ = np.histogram(lab[:, 0], bins=100, range=(0, 100))
    most = np.sort(counted)[-3 * 7 :].sum() / counted.sum()  # in three levels of 100 for each of seven steps
    assert most > 0.6  # in the ramp a fifth
    assert lab[:, 1:].max() == pytest.approx(0, abs=1)
