"""What can be measured on a drawing: its edges against a map's, people, depth, flatness, lines, colours."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels

THRESHOLDS = (100, 200)  # of Canny, on drawings as on photos
TOLERANCE = 2  # pixels that an edge may be off
BLACK = 8.0  # of 255: on what is darker no line is to be seen
FLAT = 3.0  # of 255: a pixel whose gradient is smaller lies in a flat area

Mask = NDArray[np.bool_]
"""[H, W]."""


def edges(pixels: Pixels) -> Mask:
    """Return a picture's Canny edges."""
    return cv2.Canny(np.ascontiguousarray(pixels), *THRESHOLDS) > 0


def edge_f1(drawn: Mask, wanted: Mask) -> float:
    """Return the F1 score of two sets of edges, of which each may be TOLERANCE pixels off (a square of 5 x 5)."""
    if not drawn.any() or not wanted.any():
        return 0.0
    precision = (drawn & grown(wanted, TOLERANCE)).sum() / drawn.sum()
    recall = (wanted & grown(drawn, TOLERANCE)).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def over_chance(own: float, other: float) -> float:
    """Return (F1 - F1') / (1 - F1'): 1 for full agreement, 0 for what another photo's map agrees by accident."""
    return (own - other) / (1 - other) if other < 1 else 0.0


def intersection_over_union(found: Mask, wanted: Mask) -> float:
    """Return the share of the pixels of either that are in both."""
    return float((found & wanted).sum() / max(1, (found | wanted).sum()))


def changed(picture: Pixels, reference: Pixels) -> Mask:
    """Return where a picture differs from another of the same seed, by Otsu's threshold, in one piece.

    The colours' distances (Lab, smoothed over 5 pixels) have two heaps where something was drawn in one picture alone.
    """
    lab = [cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (picture, reference)]
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
    """Return the share of pixels whose lightness changes by less than FLAT per pixel."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    down, across = np.gradient(grey)
    return float((np.hypot(across, down) < FLAT).mean())


def line_darkness(pixels: Pixels, wanted: Mask) -> float:
    """Return what share edges lack of the lightness of the darker area beside them: 0 for a step, near 1 for ink.

    Areas are what a median over 9 x 9 pixels leaves of the picture: lines of up to 4 pixels do not survive it. A share,
    since black ink is as black on a dark coat as before the sky.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    areas = cv2.erode(cv2.medianBlur(grey, 9), np.ones((11, 11), np.uint8))  # the darkest within 5 pixels
    darkest = cv2.erode(grey, np.ones((3, 3), np.uint8))  # a line may be a pixel off
    lacking = cv2.subtract(areas, darkest) / np.maximum(areas, BLACK)  # saturates at 0
    return float(lacking[wanted].mean())


def mean_color(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean colour in CIE Lab, [3]: distances there are as eyes see them, 2.3 being just noticeable."""
    lab: NDArray[np.float32] = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).mean(axis=(0, 1))
    return lab


def jumps(depth: NDArray[np.uint8], least: int = 12) -> Mask:
    """Return where a depth map [H, W] is not continuous: steps of at least `least` of 255 between neighbours."""
    signed = depth.astype(np.int16)
    found = np.zeros(depth.shape, np.bool_)
    found[:, 1:] |= np.abs(np.diff(signed, axis=1)) >= least
    found[1:] |= np.abs(np.diff(signed, axis=0)) >= least
    return found


def grown(mask: Mask, pixels: int) -> Mask:
    """Return a mask with what lies within so many pixels of it, in a square."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0
