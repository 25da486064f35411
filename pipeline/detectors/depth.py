"""A detector of relative depth with a transformers model: near is white, far is black."""

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

# ZoeDepth's processor mirrors 3 * sqrt(side / 2) pixels at each edge, and fails if a side is shorter than 5 pixels.
# Sides that are padded to a multiple of 8 are long enough.
ZOE_MULTIPLE = 8


class Depth(TorchDetector):
    """Estimates depth with Depth Anything, DPT, DepthPro, ZoeDepth and similar models.

    The raw prediction of the network must be larger for nearer pixels. If it is smaller, as in most metric models, set
    `invert`. DepthPro is a metric model, but needs no `invert`: its raw prediction is larger for nearer pixels.
    """

    def __init__(self, settings: DepthSettings, folder: Path, device: str) -> None:
        self._dtype = torch.float16 if device == "cuda" else torch.float32
        self._processor, network = load_pretrained(AutoModelForDepthEstimation, folder, self._dtype)
        super().__init__(network, device)
        self._sign = -1.0 if settings.invert else 1.0
        self._multiple = _padding_multiple(self._processor)

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        depths = self._depths(pad_to_multiple(photos, self._multiple))[:, :height, :width]
        return np.stack([depth_to_map(self._sign * depth) for depth in depths])

    def _depths(self, photos: Batch) -> NDArray[np.float32]:
        """Predict raw depth, [N, H, W], float32, in the range of the network, resampled to the size of the images."""
        size = (photos.shape[1], photos.shape[2])
        inputs = self._processor(images=list(photos), return_tensors="pt", input_data_format="channels_last")
        output = self.network(**inputs.to(self.device, self._dtype))
        output.predicted_depth = output.predicted_depth.float()  # [N, h, w]
        if isinstance(self._processor, ZoeDepthImageProcessor):  # its post-processing crops the mirrored edges
            results: Any = self._processor.post_process_depth_estimation(output, [size] * len(photos))
            return np.stack([result["predicted_depth"].cpu().numpy() for result in results])
        depths = output.predicted_depth.cpu().numpy()
        return np.stack([cv2.resize(depth, size[::-1], interpolation=cv2.INTER_CUBIC) for depth in depths])


def _padding_multiple(processor: Any) -> int:  # noqa: ANN401 - image processors have no common type with these attributes
    """Return the multiple to which images are padded before they are processed.

    Some processors, such as those of DPT on DINOv2, pad images to a multiple of their divisor, and their
    post-processing does not crop the padding. They add no padding to images that are padded to this multiple already.
    If a processor also resizes, this function sets it to resize to a multiple of its divisor, and returns 1.
    """
    if isinstance(processor, ZoeDepthImageProcessor):
        return ZOE_MULTIPLE
    if not getattr(processor, "do_pad", False):
        return 1
    divisor: int = processor.size_divisor
    if processor.do_resize:
        processor.ensure_multiple_of = divisor
        return 1
    return divisor
