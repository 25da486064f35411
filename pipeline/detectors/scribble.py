"""Thick strokes, white on black: soft edges thinned to lines and drawn anew, or a difference of Gaussians."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.detectors.line_filters import local_darkness
from pipeline.images.arrays import Batch, Pixels
from schemas.detectors import ScribbleSettings, SoftedgeSettings

RIDGE = 127  # the least strength of a soft edge that becomes a line; it, the width and ANY_INK are controlnet_aux's
STROKE_WIDTH = 3.0  # standard deviation in pixels of the blur that thins edges, and of the one that thickens lines
ANY_INK = 4  # of 255
FINE, COARSE = 0.5, 5.0  # standard deviations in pixels of xdog's Gaussians, as sd-webui-controlnet has them


class Scribble:
    """Draws what a hand would: where lines are, not how strong."""

    def __init__(self, settings: ScribbleSettings, folder: Path | None, device: str) -> None:
        self._threshold = settings.threshold
        self._edges = None
        if settings.method != "xdog" and folder is not None:
            from pipeline.detectors.softedge import Softedge  # here, not above: xdog needs no network

            self._edges = Softedge(SoftedgeSettings(method=settings.method, weights=settings.weights), folder, device)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the strokes, 0 or 255 in all three channels."""
        drawn: Pixels = self.batch(pixels[None])[0]
        return drawn

    def batch(self, photos: Batch) -> Batch:
        """Return the strokes of pictures of one shape."""
        if self._edges is None:
            return np.stack([self._gaussians(photo) for photo in photos])
        return np.stack([_strokes(edges) for edges in self._edges.batch(photos)])

    def _gaussians(self, photo: Pixels) -> Pixels:
        """Return where a picture is darker than around, as sd-webui's scribble_xdog has it."""
        ink = 2 * np.ceil(local_darkness(photo, COARSE, FINE)) > self._threshold
        return cv2.cvtColor(np.where(ink, np.uint8(255), np.uint8(0)), cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def _strokes(edges: Pixels) -> Pixels:
    """Return soft edges as lines of one strength and width."""
    from pipeline.detectors.controlnet_aux_import import controlnet_aux  # here, not above: xdog needs no network

    thick = cv2.GaussianBlur(controlnet_aux.util.nms(edges, RIDGE, STROKE_WIDTH), (0, 0), STROKE_WIDTH)
    return np.where(thick > ANY_INK, np.uint8(255), np.uint8(0))
