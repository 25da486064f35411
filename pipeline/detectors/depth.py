"""Relative depth by a transformers network: near is white, far is black."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForDepthEstimation, ZoeDepthImageProcessor

from pipeline.detectors.depth_map import depth_to_map
from pipeline.detectors.torch_detector import TorchDetector, pad_to_multiple
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import load_pretrained
from schemas.detectors import DepthSettings

MIRRORED = 8  # pixels: ZoeDepth's processor mirrors up to four at an edge, and needs a picture of more than that


class Depth(TorchDetector):
    """Depth Anything and its like: models whose prediction grows towards the viewer, or away with `invert`.

    What counts is the network's own prediction: DepthPro's grows towards the viewer, although it is a metric model.
    """

    def __init__(self, settings: DepthSettings, folder: Path, device: str) -> None:
        self._dtype = torch.float16 if device == "cuda" else torch.float32
        self._processor, network = load_pretrained(AutoModelForDepthEstimation, folder, self._dtype)
        super().__init__(network, device)
        self._sign = -1.0 if settings.invert else 1.0
        self._multiple = _multiple(self._processor)

    def _maps(self, photos: Batch) -> Batch:
        """Return the maps; predictions are resampled to the picture's size before they are scaled."""
        _, height, width, _ = photos.shape
        depths = self._depths(pad_to_multiple(photos, self._multiple))[:, :height, :width]
        return np.stack([depth_to_map(self._sign * depth) for depth in depths])

    def _depths(self, photos: Batch) -> NDArray[np.float32]:
        """Return [N, H, W], of any range."""
        size = (photos.shape[1], photos.shape[2])
        inputs = self._processor(images=list(photos), return_tensors="pt", input_data_format="channels_last")
        predicted = self.network(**inputs.to(self.device, self._dtype))
        predicted.predicted_depth = predicted.predicted_depth.float()  # [N, h, w]
        if isinstance(self._processor, ZoeDepthImageProcessor):  # it mirrors what lies at the edges: this cuts it off
            found: Any = self._processor.post_process_depth_estimation(predicted, [size] * len(photos))
            return np.stack([each["predicted_depth"].cpu().numpy() for each in found])
        depths = predicted.predicted_depth.cpu().numpy()
        return np.stack([cv2.resize(each, size[::-1], interpolation=cv2.INTER_CUBIC) for each in depths])


def _multiple(processor: Any) -> int:  # noqa: ANN401 - image processors share no type that has these attributes
    """Return what sides are padded to, so that the processor finds nothing to pad: no one would cut that off again.

    Those of DPT on DINOv2 pad. One that resizes too is told to resize to what it would pad to.
    """
    if isinstance(processor, ZoeDepthImageProcessor):
        return MIRRORED
    if not getattr(processor, "do_pad", False):
        return 1
    divisor: int = processor.size_divisor
    if processor.do_resize:
        processor.ensure_multiple_of = divisor
        return 1
    return divisor
