"""Detect surface normals with the NormalBae network of controlnet_aux.

The channels of a map are the components of the normals: red to the left, green up, blue to the viewer.
"""

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TorchDetector,
    load_weights,
    pad_to_multiple,
)
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import NormalSettings

MULTIPLE = 32  # pixels: the encoder halves the sides five times
# The constructor arguments for the weights that were trained on ScanNet, as in `NormalBaeDetector` of
# controlnet_aux 0.0.10.
_NETWORK_ARGUMENTS = SimpleNamespace(
    mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
)


class Normal(TorchDetector):
    """Estimates the surface normal of each pixel, and converts its components from -1..1 to 0..255."""

    def __init__(self, settings: NormalSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        with (
            redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):  # hides the progress that the constructor prints
            warnings.simplefilter("ignore")
            network = controlnet_aux.normalbae.NNET(_NETWORK_ARGUMENTS)
        super().__init__(load_weights(network, read_weights(path).get("model", {}), path), device)
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device)[:, None, None]  # [3, 1, 1]
        self._std = torch.tensor(IMAGENET_STD, device=self.device)[:, None, None]  # [3, 1, 1]

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        inputs = (self._tensor(pad_to_multiple(photos, MULTIPLE)) / 255.0 - self._mean) / self._std
        # The first output is a list of maps of rising resolution; their fourth channel is a confidence.
        normals = self.network(inputs)[0][-1][:, :3]  # [N, 3, H', W'], -1..1
        colors = ((normals + 1) * 0.5).clip(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()  # [N, H', W', 3], 0..1
        maps: Batch = (colors[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)
        return maps
