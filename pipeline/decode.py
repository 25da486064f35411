"""From a photo's bytes to upright sRGB pixels of its bucket's size, and its labels to theirs."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.colors import resizable, to_srgb
from pipeline.detectors import Pixels
from pipeline.faults import DecodeFault
from pipeline.formats import BROKEN, FORMATS, said_of
from pipeline.geometry import TURNED, UPRIGHT, Padding, Transform, filled, nearest_bucket, padded
from pipeline.labels import labels_of, person_points
from pipeline.masks import fit_mask
from schemas.recipe import Recipe
from schemas.work import Row

ORIENTATION_TAG = 0x0112  # EXIF 2.3, Orientation
SHRINKS = (8, 4, 2)  # parts of its size at which libjpeg decodes: at 4 in a quarter of the time, 0.5 of 255 apart

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


@dataclass(frozen=True)
class Photo:
    """A photo whose header is read and whose pixels may still wait: `size` is that of the upright photo."""

    stored: Image.Image
    size: tuple[int, int]
    orientation: int

    def shrink_to(self, scale: float) -> int:
        """Let a JPEG be decoded at the part of its size that is still at least `scale` of it; return that part."""
        full = self.stored.size
        for shrink in SHRINKS:
            if scale * shrink <= 1 and self.stored.draft(None, (full[0] // shrink, full[1] // shrink)):
                return next((k for k in SHRINKS if self.stored.size == (-(-full[0] // k), -(-full[1] // k))), 1)
        return 1

    def picture(self, transform: Transform, background: str) -> tuple[Image.Image, str | None]:
        """Return the upright picture in sRGB, and the profile that its colours came from."""
        drawn = transform.picture_of_stored(resizable(self.stored))
        return to_srgb(drawn, self.stored.info.get("icc_profile"), background)


def decode(row: Row, geometry: Geometry, find_people: FindPeople | None = None) -> Row:
    """Add the photo's pixels on its canvas [height, width, 3], uint8, RGB, its transform, and its labels.

    `find_people` is asked where a recipe crops around people and the manifest does not tell. Raises `DecodeFault` for
    bytes that Pillow cannot read whole and for pictures beyond Pillow's pixel limit, `LabelFault` for bad labels.
    """
    with _reading(row.pop("photo_bytes")) as photo:
        transform, padding = _placed(row, photo, geometry, find_people)
        picture, profile = photo.picture(transform, geometry.background)
    pixels = padding.pad(np.asarray(picture), edge=True)  # [H, W, 3]
    row["source_width"], row["source_height"] = photo.size
    row["source_profile"] = profile
    row["transform"], row["padding"] = transform.as_row(), padding.as_row()
    row["height"], row["width"], _ = pixels.shape
    row["pixels"] = pixels.tobytes()
    row["labels"] = labels_of(row, transform, geometry.min_visible)
    mask = row.pop("mask_bytes", None)
    row["mask"], row["labels"]["mask_visible"] = fit_mask(mask, transform) if mask else (None, None)
    return row


def read_upright(content: bytes, background: str = "white") -> Image.Image:
    """Return the whole picture in `content`, upright and in sRGB. Raises `DecodeFault`."""
    with _reading(content) as photo:
        whole, _ = padded(photo.size, photo.size)
        return photo.picture(replace(whole, orientation=photo.orientation), background)[0]


def header_of(image: Image.Image) -> Photo:
    """Return what the header of an opened image says; orientations that EXIF does not know are upright.

    A TIFF is upright already: Pillow turns it while it loads, and gives its turned size from the beginning.
    """
    said = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION_TAG, 1)
    orientation = said if said in UPRIGHT else 1
    return Photo(image, image.size[::-1] if orientation in TURNED else image.size, orientation)


def _placed(row: Row, photo: Photo, geometry: Geometry, find_people: FindPeople | None) -> tuple[Transform, Padding]:
    """Return where a photo goes, a JPEG set to be decoded no larger than that needs."""
    bucket, padding = nearest_bucket(photo.size, list(geometry.buckets)), Padding()
    if geometry.fit == "pad":
        transform, padding = padded(photo.size, bucket)
    else:
        transform = filled(photo.size, bucket, geometry.fit, np.empty((0, 2)))
    shrink = photo.shrink_to(max(transform.scale_x, transform.scale_y))
    if geometry.fit == "people":
        transform = filled(photo.size, bucket, geometry.fit, _people(row, photo, transform, shrink, find_people))
    return replace(transform, orientation=photo.orientation, shrink=shrink), padding


def _people(
    row: Row, photo: Photo, transform: Transform, shrink: int, find_people: FindPeople | None
) -> NDArray[np.float64]:
    """Return where people are in a photo, [N, 2]: as the manifest says, else as they are found."""
    given = person_points(row)
    if given is not None or find_people is None:
        return np.empty((0, 2)) if given is None else given
    size = (max(1, round(photo.size[0] * transform.scale_x)), max(1, round(photo.size[1] * transform.scale_y)))
    whole, _ = padded(photo.size, size)
    whole = replace(whole, orientation=photo.orientation, shrink=shrink)
    picture, _ = photo.picture(whole, "white")
    return whole.back(find_people(np.asarray(picture)))


@contextmanager
def _reading(content: bytes) -> Iterator[Photo]:
    """Open a photo, and turn whatever Pillow raises over it into a `DecodeFault`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd but readable metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow refuses at twice that size
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield header_of(image)
    except Image.DecompressionBombError as error:
        message = f"too many pixels: {error}"
        raise DecodeFault(message) from error
    except BROKEN as error:
        raise DecodeFault(said_of(error)) from error
