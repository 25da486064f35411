"""Where a photo's pixels go: one transform for the photo, its maps and its labels.

Coordinates count from the upper left corner of the upper left pixel, x to the right, y down, in the upright photo
(EXIF orientation already applied); picture = photo * scale + offset. A recipe that pads adds a border around the
picture, the *canvas*, for the nets alone: the transform knows nothing of it, since it is cut off again.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

TRANSPOSED_ORIENTATIONS = range(5, 9)  # EXIF orientations that swap width and height
# How Pillow sets upright what is stored in an EXIF orientation (EXIF 2.3, tag 0x0112).
ORIENTATION_MATRICES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
REDUCING_GAP = 3.0  # large pictures are averaged to thrice the size before they are filtered: as fair as without it


@dataclass(frozen=True)
class Transform:
    """The way from an upright photo of `source` (width, height) to a picture of `target`, both in pixels.

    `orientation` is what EXIF said of the stored photo, `shrink` the part of its size at which a JPEG was decoded.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    orientation: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    fit: str
    shrink: int = 1

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points [N, 2] (x, y) of the photo in the picture."""
        return points * (self.scale_x, self.scale_y) + (self.offset_x, self.offset_y)

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points [N, 2] (x, y) of the picture in the photo."""
        return (points - (self.offset_x, self.offset_y)) / (self.scale_x, self.scale_y)

    def apply_to_stored(self, image: Image.Image) -> Image.Image:
        """Resample the photo as it was stored, and decoded at 1 / `shrink` of its size, to the upright picture."""
        box = _stored(self._seen, self.source, self.orientation)
        size = self.target[::-1] if self.orientation in TRANSPOSED_ORIENTATIONS else self.target
        part = 1.0 / self.shrink  # exactly, although a draft's size is rounded up
        resampled = _resampled(image, size, _scaled(box, part, part), Image.Resampling.LANCZOS)
        turn = ORIENTATION_MATRICES.get(self.orientation)
        return resampled if turn is None else resampled.transpose(turn)

    def apply(self, image: Image.Image, filtered: Image.Resampling) -> Image.Image:
        """Resample an upright image of the photo's shape, of any size and mode, to the picture."""
        return _resampled(image, self.target, self.visible_box(image.size), filtered)

    def visible_box(self, size: tuple[int, int]) -> Box:
        """Return the part that the picture shows of an upright image of the photo's shape and this size."""
        return _scaled(self._seen, size[0] / self.source[0], size[1] / self.source[1])

    def enlarged(self, times: int) -> "Transform":
        """Return the transform to a picture so many times as large."""
        width, height = (side * times for side in self.target)
        scales = {name: getattr(self, name) * times for name in ("scale_x", "scale_y", "offset_x", "offset_y")}
        return replace(self, target=(width, height), **scales)

    def as_row(self) -> dict[str, float | int | str]:
        """Return the columns of `schemas.work.TRANSFORM`."""
        return {name: value for name, value in asdict(self).items() if name not in {"source", "target"}}

    @property
    def _seen(self) -> Box:
        """The part of the photo that the picture shows."""
        (left, top), (right, bottom) = self.to_photo(np.array([(0, 0), self.target], np.float64))
        return left, top, right, bottom


@dataclass(frozen=True)
class Padding:
    """What a canvas adds around the picture, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def pad(self, pixels: NDArray[Any], *, edge: bool) -> NDArray[Any]:
        """Return a picture [H, W(, C)] as a canvas: with its edge repeated, or 0, around it."""
        if not any(asdict(self).values()):
            return pixels
        margins = [(self.top, self.bottom), (self.left, self.right), *[(0, 0)] * (pixels.ndim - 2)]
        return np.pad(pixels, margins, mode="edge" if edge else "constant")

    def cut(self, canvas: NDArray[Any]) -> NDArray[Any]:
        """Return the picture within a canvas [H, W(, C)]."""
        height, width = canvas.shape[:2]
        return canvas[self.top : height - self.bottom, self.left : width - self.right]

    def enlarged(self, times: int) -> "Padding":
        """Return the padding of a canvas so many times as large."""
        return Padding(*(side * times for side in asdict(self).values()))

    def as_row(self) -> dict[str, int]:
        """Return the columns of `schemas.work.PADDING`."""
        return asdict(self)


def transform_from_row(row: dict[str, object], source: tuple[int, int], target: tuple[int, int]) -> Transform:
    """Return the transform whose `as_row` was `row`."""
    return Transform(source=source, target=target, **row)  # type: ignore[arg-type]  # the columns of TRANSFORM


def nearest_bucket(size: tuple[int, int], buckets: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the bucket whose aspect ratio is nearest to that of `size`, by the ratio of ratios."""
    aspect = np.log(size[0] / size[1])
    return min(buckets, key=lambda bucket: abs(np.log(bucket[0] / bucket[1]) - aspect))


def crop_transform(source: tuple[int, int], bucket: tuple[int, int], fit: str, focus: NDArray[np.float64]) -> Transform:
    """Return the transform that fills `bucket` and crops what is over.

    The crop is as central about the points `focus` [N, 2] of the photo as its borders allow, about the photo's middle
    where there are none. Points that do not all fit lose their lower part rather than heads.
    """
    scale = max(bucket[0] / source[0], bucket[1] / source[1])
    spans = [(focus[:, axis].min(), focus[:, axis].max()) if len(focus) else (0, source[axis]) for axis in (0, 1)]
    seen = [bucket[axis] / scale for axis in (0, 1)]  # of the photo
    starts = [(low + high - width) / 2 for (low, high), width in zip(spans, seen, strict=True)]
    starts[1] = min(starts[1], spans[1][0]) if len(focus) else starts[1]
    inside = [min(max(0.0, starts[axis]), source[axis] - seen[axis]) for axis in (0, 1)]
    return Transform(source, bucket, 1, scale, scale, -inside[0] * scale, -inside[1] * scale, fit)


def pad_transform(source: tuple[int, int], bucket: tuple[int, int]) -> tuple[Transform, Padding]:
    """Return the transform of the whole photo into `bucket`, and the padding that fills it up.

    Whole pixels, so that the photo's edge is the picture's: the two scales differ by less than a pixel.
    """
    least = min(bucket[0] / source[0], bucket[1] / source[1])
    width, height = (max(1, round(side * least)) for side in source)
    left, top = (bucket[0] - width) // 2, (bucket[1] - height) // 2
    padding = Padding(left, top, bucket[0] - width - left, bucket[1] - height - top)
    return Transform(source, (width, height), 1, width / source[0], height / source[1], 0.0, 0.0, "pad"), padding


def _stored(box: Box, upright: tuple[int, int], orientation: int) -> Box:
    """Return where a box of the upright photo lies in the photo as it was stored."""
    width, height = upright
    left, top, right, bottom = box
    if orientation in {2, 3, 6, 7}:  # the photo's columns were stored from the right
        left, right = width - right, width - left
    if orientation in {3, 4, 7, 8}:  # its rows from below
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation in TRANSPOSED_ORIENTATIONS else (left, top, right, bottom)


def _scaled(box: Box, x: float, y: float) -> Box:
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _resampled(image: Image.Image, size: tuple[int, int], box: Box, filtered: Image.Resampling) -> Image.Image:
    """Resample `box` of an image; Pillow refuses one that leaves the image by the 1e-13 that floats are off."""
    left, top, right, bottom = box
    inside = max(0.0, left), max(0.0, top), min(float(image.width), right), min(float(image.height), bottom)
    gap = None if filtered is Image.Resampling.NEAREST else REDUCING_GAP
    return image.resize(size, filtered, box=inside, reducing_gap=gap)
