"""The base class of detectors with a torch network, and the functions that they share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detectors.torch_detector import TorchDetector, load_weights, pad_to_multiple, to_three_channels
from pipeline.errors import ModelMismatchError
from pipeline.images.arrays import Batch


def test_weights_of_another_network_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match=r"other\.pth") as caught:
        load_weights(torch.nn.Linear(2, 2), {"module.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    assert "\n" not in str(caught.value)


class IdentityDetector(TorchDetector):
    """Returns the input of its network as the map, and stores whether the input was contiguous."""

    def _maps(self, photos: Batch) -> Batch:
        inputs = self._tensor(photos)
        self.contiguous = inputs.is_contiguous()
        return inputs.permute(0, 2, 3, 1).byte().numpy()


def test_input_of_a_network_is_contiguous() -> None:
    photos = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    detector = IdentityDetector(torch.nn.Identity(), "cpu")
    assert (detector.batch(photos) == photos).all()
    assert detector.contiguous


def test_padding_repeats_the_right_and_lower_edge() -> None:
    photos = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    padded = pad_to_multiple(photos, 4)
    assert padded.shape == (2, 4, 8, 3)
    assert (padded[:, :3, :5] == photos).all()
    assert (padded[:, 3, :5] == photos[:, 2]).all()
    assert (padded[:, :3, 7] == photos[:, :, 4]).all()
    assert pad_to_multiple(photos[:, :2, :4], 2).shape == (2, 2, 4, 3)


def test_grey_maps_become_rgb() -> None:
    assert to_three_channels(np.full((1, 2, 3), 7, np.uint8)).shape == (1, 2, 3, 3)
