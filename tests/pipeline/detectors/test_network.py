"""What networks share: weights alone are loaded, and padding moves nothing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detectors.network import fill, in_three_channels, load_state, padded
from pipeline.faults import ModelFault


class Harmful:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/p2a-was-run"),)  # type: ignore[return-value]  # noqa: S108 - must not appear


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ModelFault, match="harmful.pth: no file of weights"):
        load_state(tmp_path / "harmful.pth")
    assert not Path("/tmp/p2a-was-run").exists()  # noqa: S108 - likewise


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": 1})])
def test_a_broken_file_is_a_fault_of_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(ModelFault, match=r"broken\.pth: no file of weights .* Fetch it anew"):
        load_state(tmp_path / "broken.pth")


def test_weights_of_another_network_are_a_fault_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelFault, match="weights of another network"):
        fill(torch.nn.Linear(2, 2), {"module.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")


def test_padding_repeats_the_right_and_lower_edge() -> None:
    photos = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    wide = padded(photos, 4)
    assert wide.shape == (2, 4, 8, 3)
    assert (wide[:, :3, :5] == photos).all()
    assert (wide[:, 3, :5] == photos[:, 2]).all()
    assert (wide[:, :3, 7] == photos[:, :, 4]).all()
    assert padded(photos[:, :2, :4], 2).shape == (2, 2, 4, 3)


def test_grey_becomes_three_channels() -> None:
    assert in_three_channels(np.full((1, 2, 3), 7, np.uint8)).shape == (1, 2, 3, 3)
