"""The base class of detectors with a torch network, and functions that they share."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import ModelMismatchError
from pipeline.images.arrays import Batch, Pixels

# Mean and standard deviation of the channels of ImageNet, at 0..1: the normalisation of many networks.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TorchDetector(ABC):
    """A detector with a torch network. A subclass implements `_maps`.

    Args:
        network: The network.
        device: `cpu` or `cuda`. On a CPU, torch uses one thread: sums that are split over threads are rounded
            differently, so that maps would depend on the number of cores.
    """

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        self.device = torch.device(device)
        self.network = network.eval().to(self.device)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the control map of an image."""
        control_map: Pixels = self.batch(pixels[None])[0]
        return control_map

    @torch.inference_mode()
    def batch(self, photos: Batch) -> Batch:
        """Return the control maps of images of one shape.

        A CPU processes them one by one, so that a map does not depend on the other images of its batch.
        """
        if self.device.type != "cpu":
            return self._maps(photos)
        return np.concatenate([self._maps(photo[None]) for photo in photos])

    @abstractmethod
    def _maps(self, photos: Batch) -> Batch:
        """Return the control maps of images that pass through the network together."""

    def _tensor(self, photos: Batch) -> torch.Tensor:
        """Convert images to the input of a network: [N, 3, H, W], float32, RGB, 0..255.

        The tensor is contiguous, because the rounding of sums depends on the memory layout, and the maps are tested to
        equal those of controlnet_aux.
        """
        return torch.tensor(photos, device=self.device).permute(0, 3, 1, 2).float().contiguous()


def load_weights(network: torch.nn.Module, state: dict[str, Any], path: Path) -> torch.nn.Module:
    """Load weights into a network.

    Args:
        network: The network, which is changed and returned.
        state: Weights by name. The prefix `module.` of `torch.nn.DataParallel` is ignored.
        path: The file of the weights, for the error.

    Raises:
        ModelMismatchError: The weights are not those of this network.
    """
    try:
        network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    except (RuntimeError, AttributeError) as error:
        reason, hint = str(error).splitlines()[0], "Name the weights that controlnet_aux uses."
        raise ModelMismatchError(f"{path}: the weights are of another network ({reason})", hint) from error
    return network


def pad_to_multiple(photos: Batch, multiple: int) -> Batch:
    """Pad images on the right and below until width and height are multiples, by repeating their edges."""
    _, height, width, _ = photos.shape
    bottom, right = -height % multiple, -width % multiple
    if not bottom and not right:
        return photos
    padded = [cv2.copyMakeBorder(photo, 0, bottom, 0, right, cv2.BORDER_REPLICATE) for photo in photos]
    return np.stack(padded).astype(np.uint8)  # [N, H', W', 3]


def to_three_channels(grey: NDArray[np.uint8]) -> Batch:
    """Convert grey maps [N, H, W] to RGB [N, H, W, 3]."""
    return np.repeat(grey[..., None], 3, axis=3)
