"""Detect lines in the style of an anime drawing, white on black, with a network of controlnet_aux."""

import functools
from pathlib import Path

import numpy as np
import torch

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector, load_weights, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import LineartAnimeSettings

MULTIPLE = 256  # pixels: the network halves the width and the height eight times
_NORM = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)


class LineartAnime(TorchDetector):
    """Detects lines with a U-Net that was trained on anime drawings. The network outputs black lines on white."""

    def __init__(self, settings: LineartAnimeSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        generator = controlnet_aux.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=_NORM, use_dropout=False)
        super().__init__(load_weights(generator, read_weights(path), path), device)

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        lines = self.network(self._tensor(pad_to_multiple(photos, MULTIPLE)) / 127.5 - 1.0)[:, 0]  # [N, H', W'], -1..1
        grey = (lines * 127.5 + 127.5).float().cpu().numpy()[:, :height, :width].clip(0, 255).astype(np.uint8)
        return to_three_channels(255 - grey)
