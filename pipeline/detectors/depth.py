"""Relative depth by a transformers network, or from a measured map: near is white, far is black."""

from importlib.metadata import version

import cv2
import torch
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from pipeline import models
from pipeline.detectors import Pixels
from pipeline.detectors.depth_scale import depth_to_map
from schemas.detectors import DepthSettings


class Depth:
    """Depth Anything and its like: models whose prediction grows towards the viewer."""

    version = f"transformers {version('transformers')}"

    def __init__(self, settings: DepthSettings) -> None:
        found = models.locate_depth(settings)
        self._processor = AutoImageProcessor.from_pretrained(found.folder)
        self._network = AutoModelForDepthEstimation.from_pretrained(found.folder, use_safetensors=True).eval()
        self.model = found.as_row("depth")

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the map of the network's prediction, resampled to the picture's size before it is scaled."""
        inputs = self._processor(images=pixels, return_tensors="pt", input_data_format="channels_last")
        predicted = self._network(**inputs).predicted_depth[0].float().numpy()  # [h, w], larger is nearer
        height, width, _ = pixels.shape
        return depth_to_map(cv2.resize(predicted, (width, height), interpolation=cv2.INTER_CUBIC))
