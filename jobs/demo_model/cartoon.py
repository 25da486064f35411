"""Turn a photo into a cartoon with classical filters. These cartoons are the targets of the demo model's training.

The method is that of Winnemöller, Olsen and Gooch, "Real-time video abstraction" (2006): smooth everything but the
edges, quantise the lightness into soft steps, and darken pixels where a difference of Gaussians is negative.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.images.arrays import Pixels

LIGHTNESS_STEPS = 7
STEP_SHARPNESS = 12.0  # a higher value makes the transition between two levels of lightness sharper
CHROMA = 1.35
LINE_SIGMA = 0.9  # pixels, of the narrow Gaussian; the wide one is 1.6 times as wide, as in the paper
LINE_GAIN = 0.98  # tau of the paper: the share of the wide Gaussian that is subtracted
LINE_SHARPNESS = 60.0  # phi of the paper: how fast a line turns from light to dark
LINE_DARKNESS = 0.9
THRESHOLDS = (100, 200)  # of Canny: lines are limited to its edges, which keeps speckles out of flat areas


def cartoonize(photo: Pixels) -> Pixels:
    """Return the cartoon of a photo: flat areas, few levels of lightness, more chroma, dark lines along the edges."""
    smooth = cv2.pyrMeanShiftFiltering(photo, sp=10, sr=40)
    for _ in range(3):
        smooth = cv2.bilateralFilter(smooth, 7, 40, 5)
    lab = np.asarray(cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    stepped = np.dstack([_soft_steps(lab[:, :, 0]), lab[:, :, 1:] * np.float32(CHROMA)])  # [H, W, 3], CIE Lab
    colors = cv2.cvtColor(stepped, cv2.COLOR_LAB2RGB).clip(0, 1)
    for _ in range(3):
        colors = cv2.bilateralFilter(colors, 7, 0.12, 5)
    cartoon: Pixels = np.rint(colors * (1 - LINE_DARKNESS * _line_strength(photo))[:, :, None] * 255).astype(np.uint8)
    return cartoon


def _soft_steps(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide lightness (0..100) into LIGHTNESS_STEPS intervals, and move each value towards the middle of its interval.

    The transition between two intervals is smooth.
    """
    scaled = lightness / 100 * LIGHTNESS_STEPS
    border = np.rint(scaled)  # the nearest border of an interval
    stepped = border + 0.5 * np.tanh(STEP_SHARPNESS * (scaled - border))
    return (stepped.clip(0, LIGHTNESS_STEPS) / LIGHTNESS_STEPS * 100).astype(np.float32)


def _line_strength(photo: Pixels) -> NDArray[np.float32]:
    """Return the strength of a line at each pixel, [H, W], 0..1."""
    grey = cv2.cvtColor(cv2.bilateralFilter(photo, 5, 30, 3), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    narrow = cv2.GaussianBlur(grey, (0, 0), LINE_SIGMA)
    wide = cv2.GaussianBlur(grey, (0, 0), LINE_SIGMA * 1.6)
    difference = narrow - LINE_GAIN * wide
    strength = np.where(difference > 0, 0, -np.tanh(LINE_SHARPNESS * difference))
    near_edges = cv2.dilate(cv2.Canny(photo, *THRESHOLDS), np.ones((3, 3), np.uint8)).astype(np.float32) / 255
    return (strength * cv2.GaussianBlur(near_edges, (0, 0), 0.7)).astype(np.float32)
