"""Measure how well the edges of an image agree with a control map."""

import cv2
import numpy as np

from pipeline.diffusion.request import Mask, Pixels

CANNY_THRESHOLDS = (100, 200)
TOLERANCE = 2  # pixels by which an edge may be displaced


def edges(pixels: Pixels) -> Mask:
    """Detect the Canny edges of an image, [H, W]."""
    return cv2.Canny(np.ascontiguousarray(pixels), *CANNY_THRESHOLDS) > 0


def edge_f1(detected: Mask, expected: Mask) -> float:
    """Return the F1 score of edges, 0..1. Edges up to `TOLERANCE` pixels apart match, also diagonally.

    Args:
        detected: The edges of an image, [H, W].
        expected: The edges of a control map, [H, W].
    """
    if not detected.any() or not expected.any():
        return 0.0
    precision = (detected & _dilate(expected)).sum() / detected.sum()
    recall = (expected & _dilate(detected)).sum() / expected.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def above_chance(own: float, other: float) -> float:
    """Normalize an F1 score by the score that another photo's map reaches by chance.

    Args:
        own: The F1 score with the map of the image's own photo.
        other: The F1 score with the map of another photo.

    Returns:
        (own - other) / (1 - other): 1 for full agreement, 0 for agreement by chance.
    """
    return (own - other) / (1 - other) if other < 1 else 0.0


def _dilate(mask: Mask) -> Mask:
    side = 2 * TOLERANCE + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
