"""Metrics of images: agreement of edges and regions, depth steps, flat areas, darkness of lines, and mean colour."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels

THRESHOLDS = (100, 200)  # of Canny, for generated images and for photos
TOLERANCE = 2  # largest distance in pixels between two edges that agree
# The contrast of a line is divided by the lightness of the area next to the line, but at least by this value (of 255),
# because lines on darker areas are hardly visible.
DARKEST = 8.0
FLAT = 3.0  # of 255: the gradient of a pixel in a flat area is smaller

Mask = NDArray[np.bool_]
"""[H, W]."""


def edges(pixels: Pixels) -> Mask:
    """Return the Canny edges of an image."""
    return cv2.Canny(np.ascontiguousarray(pixels), *THRESHOLDS) > 0


def edge_f1(found: Mask, expected: Mask) -> float:
    """Return the F1 score of two sets of edges, with a tolerance of TOLERANCE pixels (a square of 5 x 5)."""
    if not found.any() or not expected.any():
        return 0.0
    precision = (found & dilate(expected, TOLERANCE)).sum() / found.sum()
    recall = (expected & dilate(found, TOLERANCE)).sum() / expected.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def over_chance(own: float, other: float) -> float:
    """Correct an F1 score for chance, as Cohen's kappa does for agreement.

    Args:
        own: F1 with the control map of the same photo.
        other: F1 with the control map of another photo.

    Returns:
        (own - other) / (1 - other): 1 for full agreement, 0 for agreement by chance.
    """
    return (own - other) / (1 - other) if other < 1 else 0.0


def intersection_over_union(found: Mask, expected: Mask) -> float:
    """Return the number of pixels in both masks divided by the number in either."""
    return float((found & expected).sum() / max(1, (found | expected).sum()))


def changed_region(image: Pixels, reference: Pixels) -> Mask:
    """Return the largest connected region in which an image differs from a reference of the same seed.

    The colour differences (CIE Lab, after a Gaussian blur of 2.5 pixels) are split by Otsu's threshold.
    """
    lab = [cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for pixels in (image, reference)]
    distance = cv2.GaussianBlur(np.linalg.norm(lab[0] - lab[1], axis=2), (0, 0), 2.5)
    scaled = np.rint(distance / max(1e-6, float(distance.max())) * 255).astype(np.uint8)
    _, mask = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    _, labels, parts, _ = cv2.connectedComponentsWithStats(closed)
    if len(parts) == 1:
        return np.zeros(mask.shape, np.bool_)
    largest: Mask = labels == 1 + parts[1:, cv2.CC_STAT_AREA].argmax()
    return largest


def flat_share(pixels: Pixels) -> float:
    """Return the share of pixels whose lightness gradient is below FLAT."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    vertical, horizontal = np.gradient(grey)
    return float((np.hypot(horizontal, vertical) < FLAT).mean())


def line_darkness(pixels: Pixels, lines: Mask) -> float:
    """Return the mean contrast between lines and the darker of their two sides.

    It is 1 for black lines on areas of at least DARKEST, and 0 where two areas meet without a line.

    The sides are measured after a median filter of 9 x 9 pixels, which removes lines of up to 4 pixels. The contrast is
    relative to the lightness of the side, so that a black line has the same contrast on dark and light areas.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    sides = cv2.erode(cv2.medianBlur(grey, 9), np.ones((11, 11), np.uint8))  # the darkest within 5 pixels
    darkest = cv2.erode(grey, np.ones((3, 3), np.uint8))  # a line may be one pixel off
    contrast = cv2.subtract(sides, darkest) / np.maximum(sides, DARKEST)  # cv2.subtract saturates at 0
    return float(contrast[lines].mean())


def mean_color(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean colour in CIE Lab, [3]. A distance of 2.3 is just noticeable."""
    lab: NDArray[np.float32] = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).mean(axis=(0, 1))
    return lab


def depth_steps(depth: NDArray[np.uint8], threshold: int = 12) -> Mask:
    """Return the pixels of a depth map [H, W] that differ from the left or upper pixel by at least `threshold`."""
    signed = depth.astype(np.int16)
    steps = np.zeros(depth.shape, np.bool_)
    steps[:, 1:] |= np.abs(np.diff(signed, axis=1)) >= threshold
    steps[1:] |= np.abs(np.diff(signed, axis=0)) >= threshold
    return steps


def dilate(mask: Mask, pixels: int) -> Mask:
    """Grow a mask by a number of pixels in every direction, diagonals included."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0
