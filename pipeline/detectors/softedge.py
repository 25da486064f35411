"""Soft edges, white on black, by the HED or PiDiNet network of controlnet_aux."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector, load_weights, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import SoftedgeSettings

MULTIPLES = {"hed": 16, "pidi": 8}  # pixels: HED halves the sides four times, PiDiNet three times


class Softedge(TorchDetector):
    """Detects edges. The value of a pixel is the confidence of a network that it belongs to an edge.

    With `safe`, the confidence is quantised to a few steps, which removes faint details of the photo from the map.
    """

    def __init__(self, settings: SoftedgeSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        state = read_weights(path)
        if settings.method == "hed":
            network = load_weights(controlnet_aux.hed.ControlNetHED_Apache2(), state, path)
        else:
            network = load_weights(controlnet_aux.pidi.model.pidinet(), state.get("state_dict", {}), path)
        super().__init__(network, device)
        self._settings = settings

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        inputs = self._tensor(pad_to_multiple(photos, MULTIPLES[self._settings.method]))
        edges = self._hed(inputs) if self._settings.method == "hed" else self._pidi(inputs)
        if self._settings.safe:
            edges = controlnet_aux.util.safe_step(edges)
        grey = (edges[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)  # [N, H, W]
        return to_three_channels(grey)

    def _hed(self, inputs: torch.Tensor) -> NDArray[np.floating]:
        """Return the sigmoid of the mean of the five scales of HED: [N, H', W'], 0..1."""
        size = (inputs.shape[3], inputs.shape[2])
        scales = [scale[:, 0].float().cpu().numpy() for scale in self.network(inputs)]  # five of [N, h, w], logits
        means = [np.mean([cv2.resize(scale, size) for scale in image], axis=0) for image in zip(*scales, strict=True)]
        return 1 / (1 + np.exp(-np.stack(means).astype(np.float64)))

    def _pidi(self, inputs: torch.Tensor) -> NDArray[np.floating]:
        """Return the last output of PiDiNet, which was trained on BGR: [N, H', W'], 0..1."""
        edges: NDArray[np.float32] = self.network(inputs.flip(1) / 255.0)[-1][:, 0].float().cpu().numpy()
        return edges
