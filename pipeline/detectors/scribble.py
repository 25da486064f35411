"""Thick strokes, white on black: thinned and thickened soft edges, or a difference of Gaussians."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.detectors.line_filters import local_darkness
from pipeline.images.arrays import Batch, Pixels
from schemas.detectors import ScribbleSettings, SoftedgeSettings

# Constants of controlnet_aux 0.0.10, `HEDdetector` with scribble=True.
MIN_EDGE = 127  # of 255: weaker soft edges do not become lines
STROKE_WIDTH = 3.0  # standard deviation in pixels of the blur before thinning, and of the one that thickens lines
MIN_STROKE = 4  # of 255: stronger pixels of the blurred line belong to the stroke
# Constants of scribble_xdog in sd-webui-controlnet: standard deviations in pixels.
FINE, COARSE = 0.5, 5.0


class Scribble:
    """Detects lines as strokes of equal strength, like a sketch drawn by hand."""

    def __init__(self, settings: ScribbleSettings, folder: Path | None, device: str) -> None:
        self._threshold = settings.threshold
        self._edges = None
        if settings.method != "xdog" and folder is not None:
            from pipeline.detectors.softedge import Softedge  # late: xdog does not need its libraries

            self._edges = Softedge(SoftedgeSettings(method=settings.method, weights=settings.weights), folder, device)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the strokes, 0 or 255 in all three channels."""
        strokes: Pixels = self.batch(pixels[None])[0]
        return strokes

    def batch(self, photos: Batch) -> Batch:
        """Return the strokes of images of one shape."""
        if self._edges is None:
            return np.stack([self._xdog(photo) for photo in photos])
        return np.stack([_strokes(edges) for edges in self._edges.batch(photos)])

    def _xdog(self, photo: Pixels) -> Pixels:
        """Return strokes where the image is darker than its surroundings, as scribble_xdog of sd-webui-controlnet."""
        dark = 2 * np.ceil(local_darkness(photo, COARSE, FINE)) > self._threshold  # [H, W], bool
        grey = np.where(dark, np.uint8(255), np.uint8(0))
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def _strokes(edges: Pixels) -> Pixels:
    """Convert soft edges to lines of one strength and width."""
    from pipeline.detectors.controlnet_aux_import import controlnet_aux  # late: xdog does not need it

    thin = controlnet_aux.util.nms(edges, MIN_EDGE, STROKE_WIDTH)
    return np.where(cv2.GaussianBlur(thin, (0, 0), STROKE_WIDTH) > MIN_STROKE, np.uint8(255), np.uint8(0))
