"""What detectors with a torch network share: one picture or a batch of one shape, on one CPU thread or a GPU."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.images.arrays import Batch, Pixels

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, which many networks expect


class TorchDetector(ABC):
    """A detector whose map is drawn by a network; a subclass says how pictures go through it."""

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        if device == "cpu":
            torch.set_num_threads(1)  # sums split over threads round differently: maps would depend on the machine
        self.device = torch.device(device)
        self.network = network.eval().to(self.device)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the map of one picture."""
        drawn: Pixels = self.batch(pixels[None])[0]
        return drawn

    @torch.inference_mode()
    def batch(self, photos: Batch) -> Batch:
        """Return the maps of pictures of one shape; on a CPU one by one, so that none depends on those beside it."""
        if self.device.type != "cpu":
            return self._maps(photos)
        return np.concatenate([self._maps(photo[None]) for photo in photos])

    @abstractmethod
    def _maps(self, photos: Batch) -> Batch:
        """Return the maps of pictures that go through the network together."""

    def _tensor(self, photos: Batch) -> torch.Tensor:
        """Return pictures as networks take them: [N, 3, H, W], float32, 0..255.

        In that order in memory too: sums over another order differ in their last bits from the library's.
        """
        return torch.tensor(photos, device=self.device).permute(0, 3, 1, 2).float().contiguous()


def fill_edges(network: torch.nn.Module, state: dict[str, Any], path: Path) -> torch.nn.Module:
    """Put weights into a network, whose names may begin with `module.`. Raises `ModelError` where they do not fit."""
    try:
        network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    except (RuntimeError, AttributeError) as error:
        message = f"{path}: weights of another network ({str(error).splitlines()[0]})"
        raise ModelError(message, "Name the folder that holds controlnet_aux's own files.") from error
    return network


def pad_to_multiple(photos: Batch, multiple: int) -> Batch:
    """Return `photos` with their right and lower edge repeated until both sides are multiples: no pixel moves."""
    _, height, width, _ = photos.shape
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return photos
    repeat = [cv2.copyMakeBorder(each, 0, down, 0, right, cv2.BORDER_REPLICATE) for each in photos]
    return np.stack(repeat).astype(np.uint8)  # [N, H', W', 3]


def to_three_channels(grey: NDArray[np.uint8]) -> Batch:
    """Return grey maps [N, H, W] as RGB."""
    return np.repeat(grey[..., None], 3, axis=3)
