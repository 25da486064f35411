"""Lines as an anime drawing has them, white on black, by controlnet_aux's network."""

import functools
from pathlib import Path

import numpy as np
import torch

from pipeline.detectors.controlnet_aux_import import controlnet_aux
from pipeline.detectors.torch_detector import TorchDetector, fill_edges, pad_to_multiple, to_three_channels
from pipeline.images.arrays import Batch
from pipeline.models.safe_load import read_weights
from schemas.detectors import LineartAnimeSettings

HALVED = 256  # the network halves sides eight times
_NORM = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)


class LineartAnime(TorchDetector):
    """Manga line extraction: a U-Net that draws black on white."""

    def __init__(self, settings: LineartAnimeSettings, folder: Path, device: str) -> None:
        path = folder / settings.files[0]
        generator = controlnet_aux.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=_NORM, use_dropout=False)
        super().__init__(fill_edges(generator, read_weights(path), path), device)

    def _maps(self, photos: Batch) -> Batch:
        _, height, width, _ = photos.shape
        drawn = self.network(self._tensor(pad_to_multiple(photos, HALVED)) / 127.5 - 1.0)[:, 0]  # [N, H', W'], -1..1
        grey = (drawn * 127.5 + 127.5).float().cpu().numpy()[:, :height, :width].clip(0, 255).astype(np.uint8)
        return to_three_channels(255 - grey)
