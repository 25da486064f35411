"""Semantic segmentation by a transformers model, in the colours of ADE20K's 150 classes."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSemanticSegmentation

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector
from pipeline.errors import ModelMismatchError
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import load_pretrained
from schemas.detectors import SegSettings

PALETTE = np.array(controlnet_aux.util.ade_palette(), np.uint8)  # [150, 3], RGB


class Seg(TorchDetector):
    """Paints each pixel in the colour of its class.

    Raises:
        ModelMismatchError: The model has more classes than ADE20K.
    """

    def __init__(self, settings: SegSettings, folder: Path, device: str) -> None:
        self._processor, network = load_pretrained(AutoModelForSemanticSegmentation, folder, torch.float32)
        classes = network.config.num_labels or 0
        if classes > len(PALETTE):
            problem = f"the model has {classes} classes, and the palette of ADE20K has {len(PALETTE)}"
            raise ModelMismatchError(f"{settings.weights}: {problem}", "Name a model that was trained on ADE20K.")
        super().__init__(network, device)

    def _maps(self, photos: Batch) -> Batch:
        """Return the maps. The logits are resized to the image size, because class numbers cannot be interpolated."""
        inputs = self._processor(images=list(photos), return_tensors="pt", input_data_format="channels_last")
        logits = self.network(**inputs.to(self.device)).logits.float()  # [N, classes, h, w]
        resized = torch.nn.functional.interpolate(logits, photos.shape[1:3], mode="bilinear", align_corners=False)
        maps: Batch = PALETTE[resized.argmax(dim=1).cpu().numpy()]  # [N, H, W, 3], uint8, RGB
        return maps
