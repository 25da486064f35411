"""Surface normals by controlnet_aux's BAE network: red points left, green up, blue to the viewer."""

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import DEVIATION, MEAN, TorchDetector, fill_edges, pad_to_multiple
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import NormalSettings

HALVED = 32  # the encoder halves sides five times
# What the network was trained with on ScanNet (controlnet_aux 0.0.10, NormalBaeDetector).
_TRAINED = SimpleNamespace(
    mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
)


class Normal(TorchDetector):
    """Each pixel's direction, -1..1 in three axes, as a colour."""

    def __init__(self, settings: NormalSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it tells of its building
            warnings.simplefilter("ignore")
            network = controlnet_aux.normalbae.NNET(_TRAINED)
        super().__init__(fill_edges(network, read_weights(path).get("model", {}), path), device)
        self._mean, self._deviation = (torch.tensor(of, device=self.device)[:, None, None] for of in (MEAN, DEVIATION))

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        seen = (self._tensor(pad_to_multiple(photos, HALVED)) / 255.0 - self._mean) / self._deviation
        normals = self.network(seen)[0][-1][:, :3]  # [N, 3, H', W'], -1..1
        colors = ((normals + 1) * 0.5).clip(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
        drawn: Batch = (colors[:, :height, :width] * 255.0).clip(0, 255).astype(np.uint8)
        return drawn
