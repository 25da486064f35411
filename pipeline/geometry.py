"""Where a photo's pixels go: one transform for the photo, its maps and its labels.

Coordinates count from the upper left corner of the upper left pixel, x to the right, y down, in the upright photo
(EXIF orientation already applied); target = source * scale + offset.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Transform:
    """The way from an upright photo of `source` (width, height) to a picture of `target`, both in pixels."""

    source: tuple[int, int]
    target: tuple[int, int]
    orientation: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    fit: str

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points [N, 2] (x, y) of the source in the target."""
        return points * (self.scale_x, self.scale_y) + (self.offset_x, self.offset_y)

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points [N, 2] (x, y) of the target in the source."""
        return (points - (self.offset_x, self.offset_y)) / (self.scale_x, self.scale_y)

    def picture(self, image: Image.Image, filtered: Image.Resampling = Image.Resampling.LANCZOS) -> NDArray[Any]:
        """Resample an upright image of mode RGB, L or F and size `source` to the target: [H, W(, 3)], its dtype."""
        width, height = self.target
        if self.fit == "crop":
            left, top = (-self.offset_x / self.scale_x, -self.offset_y / self.scale_y)
            box = (left, top, left + width / self.scale_x, top + height / self.scale_y)
            return np.asarray(image.resize(self.target, filtered, box=_within(box, image.size)))
        inner = (round(self.source[0] * self.scale_x), round(self.source[1] * self.scale_y))
        pixels = np.asarray(image.resize(inner, filtered))
        left, top = round(self.offset_x), round(self.offset_y)
        margins = [(top, height - inner[1] - top), (left, width - inner[0] - left)]
        return np.pad(pixels, [*margins, *[(0, 0)] * (pixels.ndim - 2)], mode="edge")

    def as_row(self) -> dict[str, float | int | str]:
        """Return the columns of `schemas.work.TRANSFORM`."""
        return {name: value for name, value in asdict(self).items() if name not in {"source", "target"}}


def transform_from_row(row: dict[str, object], source: tuple[int, int], target: tuple[int, int]) -> Transform:
    """Return the transform whose `as_row` was `row`."""
    return Transform(source=source, target=target, **row)  # type: ignore[arg-type]  # the columns of TRANSFORM


def nearest_bucket(size: tuple[int, int], buckets: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the bucket whose aspect ratio is nearest to that of `size`, by the ratio of ratios."""
    aspect = np.log(size[0] / size[1])
    return min(buckets, key=lambda bucket: abs(np.log(bucket[0] / bucket[1]) - aspect))


def fit_photo(source: tuple[int, int], target: tuple[int, int], fit: str, orientation: int = 1) -> Transform:
    """Return the transform that fills `target` and crops about the centre, or fits whole and pads around it."""
    ratios = (target[0] / source[0], target[1] / source[1])
    if fit == "crop":
        scale = max(ratios)
        offsets = ((target[0] - source[0] * scale) / 2, (target[1] - source[1] * scale) / 2)
        return Transform(source, target, orientation, scale, scale, *offsets, fit)
    # Padding: whole pixels, so that the photo's edge is the padding's edge; the two scales differ by under a pixel.
    inner = [max(1, round(side * min(ratios))) for side in source]
    left, top = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
    return Transform(source, target, orientation, inner[0] / source[0], inner[1] / source[1], left, top, fit)


def _within(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Undo what rounding of floats put outside the image: Pillow refuses a box that leaves it by 1e-13."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)
