"""From a photo's bytes to upright sRGB pixels of its bucket's size, and its labels to theirs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.person_finder import PeopleFinder
from pipeline.images.arrays import Pixels
from pipeline.images.geometry import Padding, Transform, crop_transform, nearest_bucket, pad_transform
from pipeline.images.labels import person_points, transform_labels
from pipeline.images.masks import fit_mask
from pipeline.images.photo import Photo, open_photo
from schemas.recipe import Recipe
from schemas.work import Row

FindPeople = Callable[[Pixels], NDArray[np.float64]]
"""Returns the keypoints [N, 2] (x, y) of everyone in a picture."""


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a recipe's photos go, and the least share of a label that is kept."""

    buckets: tuple[tuple[int, int], ...]
    fit: str
    background: str
    min_visible: float

    @classmethod
    def of(cls, recipe: Recipe) -> "Geometry":
        """Return the geometry of a recipe."""
        return cls(tuple(recipe.buckets), recipe.fit, recipe.background, recipe.min_visible)


def decode(row: Row, geometry: Geometry, find_people: FindPeople | None = None) -> Row:
    """Add the photo's pixels on its canvas [height, width, 3], uint8, RGB, its transform, and its labels.

    `find_people` is asked where a recipe crops around people and the manifest does not tell. Raises `ImageError` for
    bytes that Pillow cannot read whole and for pictures beyond Pillow's pixel limit, `LabelError` for bad labels.
    """
    with open_photo(row.pop("photo_bytes")) as photo:
        transform, padding = _placed(row, photo, geometry, find_people)
        picture, profile = photo.to_srgb(transform, geometry.background)
    pixels = padding.pad(np.asarray(picture), edge=True)  # [H, W, 3]
    row["source_width"], row["source_height"] = photo.size
    row["source_profile"] = profile
    row["transform"], row["padding"] = transform.as_row(), padding.as_row()
    row["height"], row["width"], _ = pixels.shape
    row["pixels"] = pixels.tobytes()
    row["labels"] = transform_labels(row, transform, geometry.min_visible)
    mask = row.pop("mask_bytes", None)
    row["mask"], row["labels"]["mask_visible"] = fit_mask(mask, transform) if mask else (None, None)
    return row


def _placed(row: Row, photo: Photo, geometry: Geometry, find_people: FindPeople | None) -> tuple[Transform, Padding]:
    """Return where a photo goes, a JPEG set to be decoded no larger than that needs."""
    bucket, padding = nearest_bucket(photo.size, list(geometry.buckets)), Padding()
    if geometry.fit == "pad":
        transform, padding = pad_transform(photo.size, bucket)
    else:
        transform = crop_transform(photo.size, bucket, geometry.fit, np.empty((0, 2)))
    shrink = photo.shrink_to(max(transform.scale_x, transform.scale_y))
    if geometry.fit == "people":
        transform = crop_transform(
            photo.size, bucket, geometry.fit, _people(row, photo, transform, shrink, find_people)
        )
    return replace(transform, orientation=photo.orientation, shrink=shrink), padding


def _people(
    row: Row, photo: Photo, transform: Transform, shrink: int, find_people: FindPeople | None
) -> NDArray[np.float64]:
    """Return where people are in a photo, [N, 2]: as the manifest says, else as they are found."""
    given = person_points(row)
    if given is not None or find_people is None:
        return np.empty((0, 2)) if given is None else given
    size = (max(1, round(photo.size[0] * transform.scale_x)), max(1, round(photo.size[1] * transform.scale_y)))
    whole, _ = pad_transform(photo.size, size)
    whole = replace(whole, orientation=photo.orientation, shrink=shrink)
    picture, _ = photo.to_srgb(whole, "white")
    return whole.to_photo(find_people(np.asarray(picture)))


def decode_settings(recipe: Recipe, blank: frozenset[str]) -> dict[str, Any]:
    """Return what `decode` is told: where pixels go, and for a crop around people, who finds them."""
    finders = [settings for settings in recipe.pose_detectors if settings.name not in blank]
    people = PeopleFinder(finders[0]) if recipe.fit == "people" and finders else None
    return {"geometry": Geometry.of(recipe), "find_people": people}
