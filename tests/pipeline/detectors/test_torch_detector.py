"""What networks share: weights of others are refused, and padding moves nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detectors.torch_detector import TorchDetector, fill_edges, pad_to_multiple, to_three_channels
from pipeline.errors import ModelError
from pipeline.images.arrays import Batch


def test_weights_of_another_network_are_a_fault_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights of another network"):
        fill_edges(torch.nn.Linear(2, 2), {"module.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")


class Seen(TorchDetector):
    """Draws what its network is given, and tells how that lay in memory."""

    def _maps(self, photos: Batch) -> Batch:
        seen = self._tensor(photos)
        self.in_order = seen.is_contiguous()
        return seen.permute(0, 2, 3, 1).byte().numpy()


def test_a_network_is_given_channels_one_after_the_other() -> None:
    photos = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    seen = Seen(torch.nn.Identity(), "cpu")
    assert (seen.batch(photos) == photos).all()
    assert seen.in_order


def test_padding_repeats_the_right_and_lower_edge() -> None:
    photos = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    wide = pad_to_multiple(photos, 4)
    assert wide.shape == (2, 4, 8, 3)
    assert (wide[:, :3, :5] == photos).all()
    assert (wide[:, 3, :5] == photos[:, 2]).all()
    assert (wide[:, :3, 7] == photos[:, :, 4]).all()
    assert pad_to_multiple(photos[:, :2, :4], 2).shape == (2, 2, 4, 3)


def test_grey_becomes_three_channels() -> None:
    assert to_three_channels(np.full((1, 2, 3), 7, np.uint8)).shape == (1, 2, 3, 3)
