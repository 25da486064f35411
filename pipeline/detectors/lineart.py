"""Line drawings, white on black, by networks of controlnet_aux or by a filter."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.line_filters import local_darkness
from pipeline.detectors.torch_detector import TorchDetector, load_weights, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch, Pixels
from pipeline.models.safe_load import read_weights
from schemas.detectors import LineartSettings

MULTIPLE = 8  # pixels: after the network has halved the sides twice, its reflection padding needs at least two pixels
# Constants of controlnet_aux 0.0.10, `LineartStandardDetector`: a blur (sigma in pixels), and strengths in 0..255.
BLUR, MIN_STRENGTH, MIN_MEDIAN, TARGET_MEDIAN = 6.0, 8, 16.0, 127.0


class Lineart:
    """Detects lines. `realistic` and `coarse` are two sets of weights of one network, `standard` is a filter."""

    def __init__(self, settings: LineartSettings, folder: Path | None, device: str) -> None:
        self._network = _LineartNetwork(folder / settings.files[0], device) if folder is not None else None

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the lines, equal in all three channels."""
        lines: Pixels = self.batch(pixels[None])[0]
        return lines

    def batch(self, photos: Batch) -> Batch:
        """Return the lines of images of one shape."""
        if self._network is None:
            return to_three_channels(np.stack([_standard_lines(photo) for photo in photos]))
        return self._network.batch(photos)


class _LineartNetwork(TorchDetector):
    """The generator of "Learning to generate line drawings" (Chan et al. 2022), whose output is black on white."""

    def __init__(self, path: Path, device: str) -> None:
        # Imported late, because the filter does not need controlnet_aux, which takes seconds to import.
        from pipeline.detectors.controlnet_aux_import import controlnet_aux

        super().__init__(load_weights(controlnet_aux.lineart.Generator(3, 1, 3), read_weights(path), path), device)

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        inputs = self._tensor(pad_to_multiple(photos, MULTIPLE)) / 255.0
        lines = self.network(inputs)[:, 0].float().cpu().numpy()  # [N, H', W'], 0..1, black on white
        grey = (lines[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)  # [N, H, W]
        return to_three_channels(255 - grey)


def _standard_lines(photo: Pixels) -> NDArray[np.uint8]:
    """Return lines [H, W], 0..255, where the image is darker than its surroundings.

    The lines are scaled so that the median of the visible ones becomes 127, or less if the lines are weak.
    """
    darkness = local_darkness(photo, BLUR).clip(0, 255)
    visible = darkness[darkness > MIN_STRENGTH]
    median = max(MIN_MEDIAN, float(np.median(visible))) if visible.size else MIN_MEDIAN
    lines: NDArray[np.uint8] = (darkness / median * TARGET_MEDIAN).clip(0, 255).astype(np.uint8)
    return lines
