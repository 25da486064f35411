"""Soft edges, white on black, by HED or PiDiNet as controlnet_aux has them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector, fill_edges, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import SoftedgeSettings

HALVED = {"hed": 16, "pidi": 8}  # sides are multiples of what the networks halve them to


class Softedge(TorchDetector):
    """Edges as a network's confidence; with `safe` in steps, so that a net cannot read the photo out of them."""

    def __init__(self, settings: SoftedgeSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        state = read_weights(path)
        if settings.method == "hed":
            network = fill_edges(controlnet_aux.hed.ControlNetHED_Apache2(), state, path)
        else:
            network = fill_edges(controlnet_aux.pidi.model.pidinet(), state.get("state_dict", {}), path)
        super().__init__(network, device)
        self._settings = settings

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        seen = self._tensor(pad_to_multiple(photos, HALVED[self._settings.method]))
        edges = self._hed(seen) if self._settings.method == "hed" else self._pidi(seen)  # [N, H', W'], 0..1
        if self._settings.safe:
            edges = controlnet_aux.util.safe_step(edges)
        grey = (edges[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)
        return to_three_channels(grey)

    def _hed(self, seen: torch.Tensor) -> NDArray[np.floating]:
        """Return the mean of the network's five scales as a probability."""
        size = (seen.shape[3], seen.shape[2])
        scales = [scale[:, 0].float().cpu().numpy() for scale in self.network(seen)]  # five of [N, h, w], logits
        sums = [np.mean([cv2.resize(each, size) for each in of_one], axis=0) for of_one in zip(*scales, strict=True)]
        return 1 / (1 + np.exp(-np.stack(sums).astype(np.float64)))

    def _pidi(self, seen: torch.Tensor) -> NDArray[np.floating]:
        """Return the last of the network's outputs; it was trained on BGR."""
        edges: NDArray[np.float32] = self.network(seen.flip(1) / 255.0)[-1][:, 0].float().cpu().numpy()
        return edges
