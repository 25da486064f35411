"""Geometry of images: crops, padding, the transform of points and pixels, and its inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.images.geometry import (
    Padding,
    Transform,
    crop_transform,
    nearest_bucket,
    pad_transform,
    transform_from_row,
)

SIDES = st.integers(1, 3000)
TARGETS = st.sampled_from([(512, 512), (576, 448), (448, 576), (64, 64), (1344, 768)])
FITS = st.sampled_from(["crop", "people", "pad"])
NO_FOCUS = np.empty((0, 2))


def transform_of(source: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[Transform, Padding]:
    return pad_transform(source, target) if fit == "pad" else (crop_transform(source, target, fit, NO_FOCUS), Padding())


def corners(transform: Transform) -> NDArray[np.float64]:
    """Return the upper left and the lower right corner of the photo, in the image."""
    return transform.points(np.array([(0, 0), transform.source], np.float64))


@given(SIDES, SIDES, TARGETS, FITS)
def test_to_photo_is_the_inverse_of_points(width: int, height: int, target: tuple[int, int], fit: str) -> None:
    transform, _ = transform_of((width, height), target, fit)
    points = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float64)
    assert np.allclose(transform.to_photo(transform.points(points)), points, atol=1e-6)


@given(SIDES, SIDES, TARGETS)
def test_crop_covers_the_image_and_is_centred(width: int, height: int, target: tuple[int, int]) -> None:
    (left, top), (right, bottom) = corners(crop_transform((width, height), target, "crop", NO_FOCUS))
    assert left <= 1e-6
    assert top <= 1e-6
    assert right >= target[0] - 1e-6
    assert bottom >= target[1] - 1e-6
    assert left + right == pytest.approx(target[0], abs=1e-6)
    assert top + bottom == pytest.approx(target[1], abs=1e-6)


@given(SIDES, SIDES, TARGETS, st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)), min_size=1, max_size=6))
def test_crop_around_people_covers_the_image_and_contains_people_that_fit(
    width: int, height: int, target: tuple[int, int], shares: list[tuple[float, float]]
) -> None:
    people = np.array(shares) * (width, height)
    transform = crop_transform((width, height), target, "people", people)
    (left, top), (right, bottom) = corners(transform)
    assert max(left, top) <= 1e-6
    assert right >= target[0] - 1e-6
    assert bottom >= target[1] - 1e-6
    inside = np.clip(people, 0, (width, height))
    transformed = transform.points(inside)
    for axis in (0, 1):
        if np.ptp(people[:, axis]) * transform.scale_x <= target[axis]:  # the people fit
            assert (transformed[:, axis] >= -1e-6).all()
            assert (transformed[:, axis] <= target[axis] + 1e-6).all()
    assert transformed[:, 1].min() >= -1e-6  # the upper edge crops no point, because heads matter more than feet


@given(SIDES, SIDES, TARGETS)
def test_padded_canvas_contains_the_whole_photo(width: int, height: int, target: tuple[int, int]) -> None:
    transform, padding = pad_transform((width, height), target)
    assert np.allclose(corners(transform), [(0, 0), transform.target])
    assert min(padding.left, padding.top, padding.right, padding.bottom) >= 0
    assert padding.left + transform.target[0] + padding.right == target[0]
    assert padding.top + transform.target[1] + padding.bottom == target[1]
    assert abs(padding.left - padding.right) <= 1
    assert transform.target[0] == target[0] or transform.target[1] == target[1]


def test_cut_removes_the_padding() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    padding = Padding(1, 2, 3, 0)
    canvas = padding.pad(image, edge=True)
    assert canvas.shape == (4, 7)
    assert canvas[0].tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert padding.pad(image, edge=False).sum() == image.sum()
    assert (padding.cut(canvas) == image).all()


@given(st.integers(40, 300), st.integers(40, 300), FITS, st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_pixels_and_points_have_the_same_transform_in_a_scaled_copy(
    width: int, height: int, fit: str, across: float, down: float
) -> None:
    transform, _ = transform_of((4 * width, 4 * height), (128, 128), fit)
    marked = np.zeros((height, width), np.uint8)  # a quarter of the photo's width and height
    x, y = int(width * across), int(height * down)
    marked[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 255  # centred on (x + 0.5, y + 0.5)
    image = np.asarray(transform.apply(Image.fromarray(marked), Image.Resampling.BILINEAR), np.float64)
    assert image.shape == transform.target[::-1]
    (expected,) = transform.points(4 * np.array([[x + 0.5, y + 0.5]]))
    if not ((expected > 8) & (expected < np.array(transform.target) - 8)).all():
        return  # the marked square is cropped, or near an edge
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    centroid = np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()
    assert np.abs(centroid - expected).max() < 0.5


def test_transform_survives_a_round_trip_through_a_row() -> None:
    transform = Transform((640, 427), (576, 448), 6, 1.5, 1.25, -3.0, 0.5, "crop", 4)
    assert transform_from_row(transform.as_row(), (640, 427), (576, 448)) == transform


def test_nearest_bucket_has_the_nearest_aspect_ratio() -> None:
    buckets = [(512, 512), (576, 448), (448, 576)]
    assert nearest_bucket((4000, 3000), buckets) == (576, 448)
    assert nearest_bucket((3000, 4000), buckets) == (448, 576)
    assert nearest_bucket((100, 99), buckets) == (512, 512)
