"""What networks share: weights alone are loaded, and padding moves nothing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detectors import Batch
from pipeline.detectors.network import Network, fill, in_three_channels, load_state, padded
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


@pytest.mark.filterwarnings("ignore")  # torch's, of what it then reads
@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_that_changed_on_its_way_is_a_fault(tmp_path: Path, legacy: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """What torch raises depends on the step at which its reading ends; some changes do no harm."""
    path, faults = tmp_path / "changed.pth", 0
    torch.save({"weight": torch.ones(2, 2)}, path, _use_new_zipfile_serialization=not legacy)
    content, chance = path.read_bytes(), np.random.default_rng(3)
    for number in range(400):
        changed = bytearray(content[: chance.integers(1, len(content)) if number % 2 else None])
        changed[chance.integers(min(len(changed), 300))] = chance.integers(256)
        path.write_bytes(changed)
        try:
            load_state(path)
        except ModelFault:
            faults += 1
    assert faults > 100


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], 3])
def test_a_file_without_names_is_a_fault(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "nameless.pth")
    with pytest.raises(ModelFault, match=r"nameless\.pth: no file of weights \(it holds a \w+, no names\)"):
        load_state(tmp_path / "nameless.pth")


def test_weights_of_another_network_are_a_fault_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelFault, match="weights of another network"):
        fill(torch.nn.Linear(2, 2), {"module.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")


class Seen(Network):
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
    wide = padded(photos, 4)
    assert wide.shape == (2, 4, 8, 3)
    assert (wide[:, :3, :5] == photos).all()
    assert (wide[:, 3, :5] == photos[:, 2]).all()
    assert (wide[:, :3, 7] == photos[:, :, 4]).all()
    assert padded(photos[:, :2, :4], 2).shape == (2, 2, 4, 3)


def test_grey_becomes_three_channels() -> None:
    assert in_three_channels(np.full((1, 2, 3), 7, np.uint8)).shape == (1, 2, 3, 3)
