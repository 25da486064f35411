"""Line drawings, white on black: by controlnet_aux's networks, or by a filter."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.line_filters import local_darkness
from pipeline.detectors.torch_detector import TorchDetector, fill_edges, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch, Pixels
from pipeline.models.safe_load import read_weights
from schemas.detectors import LineartSettings

HALVED = 8  # the network halves sides twice, and mirrors a pixel at the edge of what is left
# The filter's constants are controlnet_aux's (`lineart_standard`): blur in pixels, strengths of 255.
BLUR, FAINTEST, LEAST_MEDIAN, MEDIAN_BECOMES = 6.0, 8, 16.0, 127.0


class Lineart:
    """`realistic` and `coarse` are two trainings of one network; `standard` compares each pixel with around it."""

    def __init__(self, settings: LineartSettings, folder: Path | None, device: str) -> None:
        self._network = _Drawn(folder / settings.files[0], device) if folder is not None else None

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the lines, in all three channels alike."""
        drawn: Pixels = self.batch(pixels[None])[0]
        return drawn

    def batch(self, photos: Batch) -> Batch:
        """Return the lines of pictures of one shape."""
        if self._network is None:
            return to_three_channels(np.stack([_darker(photo) for photo in photos]))
        return self._network.batch(photos)


class _Drawn(TorchDetector):
    """Informative drawings: a generator that draws black on white."""

    def __init__(self, path: Path, device: str) -> None:
        from pipeline.detectors.controlnet_aux_import import (
            controlnet_aux,  # here, not above: the filter needs no network
        )

        super().__init__(fill_edges(controlnet_aux.lineart.Generator(3, 1, 3), read_weights(path), path), device)

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        drawn = self.network(self._tensor(pad_to_multiple(photos, HALVED)) / 255.0)[:, 0].float().cpu().numpy()
        grey = (drawn[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)  # [N, H, W]
        return to_three_channels(255 - grey)


def _darker(photo: Pixels) -> NDArray[np.uint8]:
    """Return how much darker each pixel is than around it, [H, W], the median of what is to be seen in middle grey."""
    darker = local_darkness(photo, BLUR).clip(0, 255)
    seen = darker[darker > FAINTEST]
    median = max(LEAST_MEDIAN, float(np.median(seen))) if seen.size else LEAST_MEDIAN  # a flat picture shows nothing
    drawn: NDArray[np.uint8] = (darker / median * MEDIAN_BECOMES).clip(0, 255).astype(np.uint8)
    return drawn
