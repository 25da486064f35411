"""Geometry: every point of the photo lands where its pixel does, and comes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.geometry import fit_photo, nearest_bucket, transform_from_row

SIDES = st.integers(1, 3000)
TARGETS = st.sampled_from([(512, 512), (576, 448), (448, 576), (64, 64), (1344, 768)])
FITS = st.sampled_from(["crop", "pad"])


@given(SIDES, SIDES, TARGETS, FITS)
def test_points_go_and_come_back(width: int, height: int, target: tuple[int, int], fit: str) -> None:
    transform = fit_photo((width, height), target, fit)
    points = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float64)
    assert np.allclose(transform.back(transform.points(points)), points, atol=1e-6)


@given(SIDES, SIDES, TARGETS)
def test_a_crop_covers_the_picture_and_stands_central(width: int, height: int, target: tuple[int, int]) -> None:
    transform = fit_photo((width, height), target, "crop")
    (left, top), (right, bottom) = transform.points(np.array([[0, 0], [width, height]], np.float64))
    assert left <= 1e-6
    assert top <= 1e-6
    assert right >= target[0] - 1e-6
    assert bottom >= target[1] - 1e-6
    assert left + right == pytest.approx(target[0], abs=1e-6)
    assert top + bottom == pytest.approx(target[1], abs=1e-6)


@given(SIDES, SIDES, TARGETS)
def test_padding_keeps_the_whole_photo_inside(width: int, height: int, target: tuple[int, int]) -> None:
    transform = fit_photo((width, height), target, "pad")
    corners = transform.points(np.array([[0, 0], [width, height]], np.float64))
    assert (corners >= -1e-6).all()
    assert (corners <= np.array(target) + 1e-6).all()


@given(st.integers(40, 300), st.integers(40, 300), FITS, st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_a_mark_in_the_photo_is_where_the_transform_says(
    width: int, height: int, fit: str, across: float, down: float
) -> None:
    photo = np.zeros((height, width), np.uint8)
    x, y = int(width * across), int(height * down)
    photo[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 255  # centred on (x + 0.5, y + 0.5)
    transform = fit_photo((width, height), (128, 128), fit)
    drawn = transform.picture(Image.fromarray(photo)).astype(np.float64)
    (expected,) = transform.points(np.array([[x + 0.5, y + 0.5]]))
    if not (8 < expected[0] < 120 and 8 < expected[1] < 120):
        return  # cropped away, or at the edge
    rows, columns = np.mgrid[0:128, 0:128] + 0.5
    found = np.array([(columns * drawn).sum(), (rows * drawn).sum()]) / drawn.sum()
    assert np.abs(found - expected).max() < 0.5


@given(SIDES, SIDES, TARGETS, FITS)
def test_pictures_have_exactly_the_target_size(width: int, height: int, target: tuple[int, int], fit: str) -> None:
    width, height = min(width, 400), min(height, 400)
    pixels = fit_photo((width, height), target, fit).picture(Image.new("RGB", (width, height), "red"))
    assert pixels.shape == (target[1], target[0], 3)
    assert (pixels == (255, 0, 0)).all()


def test_the_row_gives_the_transform_back() -> None:
    transform = fit_photo((640, 427), (576, 448), "crop", orientation=6)
    assert transform_from_row(transform.as_row(), (640, 427), (576, 448)) == transform


def test_the_nearest_bucket_is_by_ratio() -> None:
    buckets = [(512, 512), (576, 448), (448, 576)]
    assert nearest_bucket((4000, 3000), buckets) == (576, 448)
    assert nearest_bucket((3000, 4000), buckets) == (448, 576)
    assert nearest_bucket((100, 99), buckets) == (512, 512)
