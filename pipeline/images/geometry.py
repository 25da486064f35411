"""The geometry of an image: one transform for a photo, its control maps and its labels.

Coordinates are in pixels from the upper left corner of the upper left pixel, x to the right, y down, in the upright
photo, after its EXIF orientation is applied. The transform is `image = photo * scale + offset` on each axis.

A recipe with `fit: pad` adds a border around the image. The image with its border is the *canvas*, which the base model
and the ControlNets receive. The border is cropped from the output, so the transform does not depend on it.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

TRANSPOSED_ORIENTATIONS = range(5, 9)  # EXIF orientations that swap width and height
# The operation of Pillow that makes an image upright, by EXIF orientation (EXIF 2.3, tag 0x0112).
UPRIGHT_OPERATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
# Large images are first reduced with a box filter to at least three times the target size. According to the
# documentation of `Image.resize`, the result is then in most cases indistinguishable from that of resampling alone.
REDUCING_GAP = 3.0


@dataclass(frozen=True)
class Transform:
    """The transform from an upright photo to an image.

    Attributes:
        source: Width and height of the upright photo in pixels.
        target: Width and height of the image in pixels.
        orientation: The EXIF orientation of the stored photo.
        scale_x: Pixels of the image per pixel of the photo, horizontally.
        scale_y: Pixels of the image per pixel of the photo, vertically.
        offset_x: The x coordinate, in the image, of the photo's left edge.
        offset_y: The y coordinate, in the image, of the photo's upper edge.
        fit: The setting of the recipe: crop, people or pad.
        shrink: The JPEG decoder decodes the photo at 1 / `shrink` of its size.
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
        """Transform points [N, 2] (x, y) of the photo to the image."""
        return points * (self.scale_x, self.scale_y) + (self.offset_x, self.offset_y)

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform points [N, 2] (x, y) of the image to the photo."""
        return (points - (self.offset_x, self.offset_y)) / (self.scale_x, self.scale_y)

    def apply_to_stored(self, image: Image.Image) -> Image.Image:
        """Resample the stored photo, decoded at 1 / `shrink` of its size, to the upright image."""
        box = _stored_box(self._visible_box, self.source, self.orientation)
        size = self.target[::-1] if self.orientation in TRANSPOSED_ORIENTATIONS else self.target
        # A decoded pixel covers exactly `shrink` pixels of the stored photo on each axis. The decoded size divided by
        # the stored size would be inexact, because the decoder rounds the decoded size up to whole pixels.
        scale = 1.0 / self.shrink
        resampled = _resample(image, size, _scale_box(box, scale, scale), Image.Resampling.LANCZOS)
        transpose = UPRIGHT_OPERATIONS.get(self.orientation)
        return resampled if transpose is None else resampled.transpose(transpose)

    def apply(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        """Transform an upright image of the whole photo, such as a mask or a control map, of any size and mode."""
        return _resample(image, self.target, self.visible_box(image.size), resampling)

    def visible_box(self, size: tuple[int, int]) -> Box:
        """Return the box that `apply` keeps of an upright image of the whole photo.

        Args:
            size: Width and height of the upright image in pixels.
        """
        return _scale_box(self._visible_box, size[0] / self.source[0], size[1] / self.source[1])

    def enlarged(self, times: int) -> "Transform":
        """Return the transform to an image whose width and height are multiplied by `times`."""
        width, height = (side * times for side in self.target)
        scales = {name: getattr(self, name) * times for name in ("scale_x", "scale_y", "offset_x", "offset_y")}
        return replace(self, target=(width, height), **scales)

    def as_row(self) -> dict[str, float | int | str]:
        """Return the transform as a row, without the two sizes."""
        return {name: value for name, value in asdict(self).items() if name not in {"source", "target"}}

    @property
    def _visible_box(self) -> Box:
        """The part of the photo that the image shows."""
        (left, top), (right, bottom) = self.to_photo(np.array([(0, 0), self.target], np.float64))
        return left, top, right, bottom


@dataclass(frozen=True)
class Padding:
    """The border of a canvas around its image, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def pad(self, pixels: NDArray[Any], *, edge: bool) -> NDArray[Any]:
        """Add the border to an image [H, W] or [H, W, C], filled with the edge pixels if `edge`, else with 0."""
        if not any(asdict(self).values()):
            return pixels
        margins = [(self.top, self.bottom), (self.left, self.right), *[(0, 0)] * (pixels.ndim - 2)]
        return np.pad(pixels, margins, mode="edge" if edge else "constant")

    def cut(self, canvas: NDArray[Any]) -> NDArray[Any]:
        """Remove the border of a canvas [H, W] or [H, W, C]."""
        height, width = canvas.shape[:2]
        return canvas[self.top : height - self.bottom, self.left : width - self.right]

    def enlarged(self, times: int) -> "Padding":
        """Return the padding of a canvas whose width and height are multiplied by `times`."""
        return Padding(*(side * times for side in asdict(self).values()))

    def as_row(self) -> dict[str, int]:
        """Return the padding as a row."""
        return asdict(self)


def transform_from_row(row: dict[str, object], source: tuple[int, int], target: tuple[int, int]) -> Transform:
    """Build a transform from a row of `Transform.as_row` and the two sizes, which the row does not contain."""
    return Transform(source=source, target=target, **row)  # type: ignore[arg-type]  # the fields of a Transform


def nearest_bucket(size: tuple[int, int], buckets: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the bucket whose aspect ratio is nearest to that of `size`.

    Aspect ratios are compared by their quotient, so that 2:1 and 1:2 are equally far from 1:1.
    """
    aspect = np.log(size[0] / size[1])
    return min(buckets, key=lambda bucket: abs(np.log(bucket[0] / bucket[1]) - aspect))


def crop_transform(source: tuple[int, int], bucket: tuple[int, int], fit: str, focus: NDArray[np.float64]) -> Transform:
    """Return the transform that scales a photo to cover a bucket, and crops the rest.

    Args:
        source: Width and height of the photo.
        bucket: Width and height of the image.
        fit: The value of `Transform.fit`.
        focus: Points [N, 2] (x, y) of the photo. The crop is centred on them as far as the edges of the photo allow,
            or on the photo if N is 0. If the points span more than the height of the crop, it starts at the uppermost
            point: heads matter more than feet.
    """
    scale = max(bucket[0] / source[0], bucket[1] / source[1])
    spans = [(focus[:, axis].min(), focus[:, axis].max()) if len(focus) else (0, source[axis]) for axis in (0, 1)]
    visible = [bucket[axis] / scale for axis in (0, 1)]  # width and height of the crop, in pixels of the photo
    starts = [(low + high - length) / 2 for (low, high), length in zip(spans, visible, strict=True)]
    starts[1] = min(starts[1], spans[1][0]) if len(focus) else starts[1]
    left, top = (min(max(0.0, starts[axis]), source[axis] - visible[axis]) for axis in (0, 1))
    return Transform(source, bucket, 1, scale, scale, -left * scale, -top * scale, fit)


def pad_transform(source: tuple[int, int], bucket: tuple[int, int]) -> tuple[Transform, Padding]:
    """Return the transform that scales a whole photo to fit in a bucket, and the padding that fills the bucket.

    The size of the image is rounded to whole pixels, and the scales are adapted so that the image shows exactly the
    whole photo. The horizontal and the vertical scale therefore differ slightly, by less than a pixel over the whole
    image.
    """
    scale = min(bucket[0] / source[0], bucket[1] / source[1])
    width, height = (max(1, round(side * scale)) for side in source)
    left, top = (bucket[0] - width) // 2, (bucket[1] - height) // 2
    padding = Padding(left, top, bucket[0] - width - left, bucket[1] - height - top)
    return Transform(source, (width, height), 1, width / source[0], height / source[1], 0.0, 0.0, "pad"), padding


def _stored_box(box: Box, upright: tuple[int, int], orientation: int) -> Box:
    """Convert a box in the upright photo to the same area of the stored photo."""
    width, height = upright
    left, top, right, bottom = box
    if orientation in {2, 3, 6, 7}:  # the first stored row or column is the right edge of the upright photo
        left, right = width - right, width - left
    if orientation in {3, 4, 7, 8}:  # the first stored row or column is the bottom edge of the upright photo
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation in TRANSPOSED_ORIENTATIONS else (left, top, right, bottom)


def _scale_box(box: Box, x: float, y: float) -> Box:
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _resample(image: Image.Image, size: tuple[int, int], box: Box, resampling: Image.Resampling) -> Image.Image:
    """Resample a box of an image. Clip the box first: Pillow rejects one that rounding made 1e-13 too large."""
    left, top, right, bottom = box
    inside = max(0.0, left), max(0.0, top), min(float(image.width), right), min(float(image.height), bottom)
    gap = None if resampling is Image.Resampling.NEAREST else REDUCING_GAP
    return image.resize(size, resampling, box=inside, reducing_gap=gap)
