"""Relative depth by a transformers network: near is white, far is black."""

from pathlib import Path

import cv2
import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from pipeline.detectors import Batch
from pipeline.detectors.depth_scale import depth_to_map
from pipeline.detectors.network import Network
from schemas.detectors import DepthSettings


class Depth(Network):
    """Depth Anything and its like: models whose prediction grows towards the viewer, or away with `invert`."""

    def __init__(self, settings: DepthSettings, folder: Path, device: str) -> None:
        self._processor = AutoImageProcessor.from_pretrained(folder)
        self._dtype = torch.float16 if device == "cuda" else torch.float32
        network = AutoModelForDepthEstimation.from_pretrained(folder, use_safetensors=True, dtype=self._dtype)
        super().__init__(network, device)
        self._sign = -1.0 if settings.invert else 1.0

    def _maps(self, photos: Batch) -> Batch:
        """Return the maps; predictions are resampled to the picture's size before they are scaled."""
        inputs = self._processor(images=list(photos), return_tensors="pt", input_data_format="channels_last")
        inputs = inputs.to(self.device, self._dtype)
        predicted = self._sign * self.network(**inputs).predicted_depth.float().cpu().numpy()  # [N, h, w]
        size = (photos.shape[2], photos.shape[1])
        return np.stack([depth_to_map(cv2.resize(each, size, interpolation=cv2.INTER_CUBIC)) for each in predicted])
