"""Files of weights: nothing in them is run, and what is none is one line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.faults import ModelFault
from pipeline.weights import read_weights


def test_weights_are_read_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    for name in ("good.pt", "good.safetensors"):
        assert read_weights(tmp_path / name)["a"].tolist() == [1, 1]


class Harmful:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/p2a-was-run"),)  # type: ignore[return-value]  # noqa: S108 - must not appear


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ModelFault, match="harmful.pth: no file of weights"):
        read_weights(tmp_path / "harmful.pth")
    assert not Path("/tmp/p2a-was-run").exists()  # noqa: S108 - likewise


@pytest.mark.filterwarnings("ignore")  # torch's, of an old pickle
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": 1})])
def test_a_broken_file_is_a_fault_of_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFault, match=rf"{name}: no file of weights .* Fetch it anew"):
        read_weights(tmp_path / name)


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
            read_weights(path)
        except ModelFault:
            faults += 1
    assert faults > 100


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], 3])
def test_a_file_without_names_is_a_fault(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "nameless.pth")
    with pytest.raises(ModelFault, match=r"nameless\.pth: no file of weights \(it holds a \w+, no names\)"):
        read_weights(tmp_path / "nameless.pth")
