"""Decode a photo to upright sRGB pixels on its canvas, and transform its labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.person_finder import PeopleFinder
from pipeline.images.arrays import Pixels
from pipeline.images.geometry import Padding, Transform, crop_transform, nearest_bucket, pad_transform
from pipeline.images.labels import person_points, transform_labels
from pipeline.images.masks import fit_mask
from pipeline.images.opening import DEFAULT_MAX_PIXELS
from pipeline.images.photo import Photo, open_photo
from pipeline.steps.canvas import padding_columns, transform_columns
from pipeline.steps.row_step import record_on_error
from schemas.recipe import Recipe
from schemas.row_parts import Canvas, Labels
from schemas.work import Decoded, Fetched, Planned

FindPeople: TypeAlias = Callable[[Pixels], NDArray[np.float64]]
"""A function that returns the keypoints [N, 2] (x, y) of all people in an image."""


@dataclass(frozen=True)
class Geometry:
    """The settings that affect how photos are decoded and labels are transformed."""

    buckets: tuple[tuple[int, int], ...]  # width and height of the canvas for each aspect ratio
    fit: str
    background: str
    min_visible: float
    max_pixels: int = DEFAULT_MAX_PIXELS

    @classmethod
    def of(cls, recipe: Recipe, max_pixels: int = DEFAULT_MAX_PIXELS) -> "Geometry":
        """Return the geometry of a recipe."""
        return cls(tuple(recipe.buckets), recipe.fit, recipe.background, recipe.min_visible, max_pixels)


def decode_step(
    recipe: Recipe, blank: frozenset[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> Callable[[Fetched], Decoded]:
    """Return the decode step of a recipe.

    Args:
        recipe: The recipe.
        blank: The detectors whose weights are missing.
        max_pixels: The largest number of pixels of a photo or a mask to decode.
    """
    detectors = [settings for settings in recipe.pose_detectors if settings.name not in blank]
    find_people = PeopleFinder(detectors[0]) if recipe.fit == "people" and detectors else None
    return partial(decode, geometry=Geometry.of(recipe, max_pixels), find_people=find_people)


def decode(row: Fetched, geometry: Geometry, find_people: FindPeople | None = None) -> Decoded:
    """Decode the photo of a row, place it on its canvas, and transform its labels.

    Args:
        row: A row with the content of its files.
        geometry: The settings of the recipe.
        find_people: Detects people. Called if the recipe crops around people and the manifest does not provide them.

    Raises:
        ImageError: The photo cannot be decoded, or has too many pixels.
        LabelError: A label of the manifest is invalid.
    """
    with open_photo(row.photo, geometry.max_pixels) as photo:
        transform, padding = _fit_to_bucket(row.planned, photo, geometry, find_people)
        image, profile = photo.to_srgb(transform, geometry.background)
    pixels = padding.pad(np.asarray(image), edge=True)  # [H, W, 3], uint8, RGB, 0..255
    canvas = Canvas(
        source_width=photo.size[0],
        source_height=photo.size[1],
        source_profile=profile,
        transform=transform_columns(transform),
        padding=padding_columns(padding),
        width=pixels.shape[1],
        height=pixels.shape[0],
        labels=Labels(None, None),
        mask=None,
    )
    with record_on_error(canvas=canvas):
        labels = transform_labels(row.planned.boxes, row.planned.keypoints, transform, geometry.min_visible)
    canvas = replace(canvas, labels=labels)
    if row.mask:
        with record_on_error(canvas=canvas):
            mask, visible = fit_mask(row.mask, transform, geometry.max_pixels)
        canvas = replace(canvas, mask=mask, labels=replace(labels, mask_visible=visible))
    return Decoded(row.planned, row.timing, row.source, canvas, pixels, row.provided, row.reference)


def _fit_to_bucket(
    row: Planned, photo: Photo, geometry: Geometry, find_people: FindPeople | None
) -> tuple[Transform, Padding]:
    """Return the transform and the padding of a photo. Lets libjpeg decode it at the smallest sufficient size."""
    bucket, padding = nearest_bucket(photo.size, list(geometry.buckets)), Padding()
    if geometry.fit == "pad":
        transform, padding = pad_transform(photo.size, bucket)
    else:
        transform = crop_transform(photo.size, bucket, geometry.fit, np.empty((0, 2)))
    shrink = photo.shrink_to(max(transform.scale_x, transform.scale_y))
    if geometry.fit == "people":
        people = person_points(row.pose_keypoints, row.boxes)
        if people is None:
            people = _find_people(photo, transform, shrink, find_people)
        transform = crop_transform(photo.size, bucket, geometry.fit, people)
    return replace(transform, orientation=photo.orientation, shrink=shrink), padding


def _find_people(
    photo: Photo, transform: Transform, shrink: int, find_people: FindPeople | None
) -> NDArray[np.float64]:
    """Detect people in the uncropped photo, decoded at the scale of the image.

    Returns their keypoints [N, 2] (x, y) in pixels of the photo. Without a detector, N is 0.
    """
    if find_people is None:
        return np.empty((0, 2))
    size = (max(1, round(photo.size[0] * transform.scale_x)), max(1, round(photo.size[1] * transform.scale_y)))
    uncropped, _ = pad_transform(photo.size, size)
    uncropped = replace(uncropped, orientation=photo.orientation, shrink=shrink)
    image, _ = photo.to_srgb(uncropped, "white")
    return uncropped.to_photo(find_people(np.asarray(image)))
