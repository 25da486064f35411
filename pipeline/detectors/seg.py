"""Things by a transformers semantic-segmentation model, in the colours of ADE20K's 150 classes."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSemanticSegmentation

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector
from pipeline.errors import ModelError
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import load_pretrained
from schemas.detectors import SegSettings

PALETTE = np.array(controlnet_aux.util.ade_palette(), np.uint8)  # [150, 3], RGB


class Seg(TorchDetector):
    """Each pixel in its class's colour. Raises `ModelError` for a model of more classes than there are colours."""

    def __init__(self, settings: SegSettings, folder: Path, device: str) -> None:
        self._processor, network = load_pretrained(AutoModelForSemanticSegmentation, folder, torch.float32)
        classes = network.config.num_labels or 0
        if classes > len(PALETTE):
            message = f"{settings.weights} knows {classes} classes, ADE20K's palette {len(PALETTE)}"
            raise ModelError(message, "Name a model that was trained on ADE20K.")
        super().__init__(network, device)

    def _maps(self, photos: Batch) -> Batch:
        """Return the maps; the classes' scores are resampled to the picture's size, never the colours."""
        inputs = self._processor(images=list(photos), return_tensors="pt", input_data_format="channels_last")
        scores = self.network(**inputs.to(self.device)).logits.float()  # [N, classes, h, w]
        full = torch.nn.functional.interpolate(scores, photos.shape[1:3], mode="bilinear", align_corners=False)
        drawn: Batch = PALETTE[full.argmax(dim=1).cpu().numpy()]
        return drawn
