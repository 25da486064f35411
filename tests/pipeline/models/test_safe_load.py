"""Files of weights: nothing in them is run, and what is none is one line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForDepthEstimation, AutoModelForSemanticSegmentation

from pipeline.errors import ModelError
from pipeline.models.safe_load import load_pretrained, read_weights
from tests.pipeline.detectors.depth_networks import write_dpt
from tests.tiny_detectors import write_seg


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
    with pytest.raises(ModelError, match="harmful.pth: no file of weights"):
        read_weights(tmp_path / "harmful.pth")
    assert not Path("/tmp/p2a-was-run").exists()  # noqa: S108 - likewise


@pytest.mark.filterwarnings("ignore")  # torch's, of an old pickle
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": 1})])
def test_a_broken_file_is_a_fault_of_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: no file of weights .* Fetch it anew"):
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
        except ModelError:
            faults += 1
    assert faults > 100


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], 3])
def test_a_file_without_names_is_a_fault(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "nameless.pth")
    with pytest.raises(ModelError, match=r"nameless\.pth: no file of weights \(it holds a \w+, no names\)"):
        read_weights(tmp_path / "nameless.pth")


pytestmark = pytest.mark.filterwarnings("ignore")


WEIGHTS = "model.safetensors"


FIRST_FUSION = "neck.fusion_stage.layers.0.residual_layer1."


def keep(folder: Path, but: str, dtype: torch.dtype = torch.float32) -> int:
    """Write a folder's weights anew in `dtype`, without those whose names hold `but`; return how many those were."""
    state = load_file(folder / WEIGHTS)
    kept = {name: tensor.to(dtype) for name, tensor in state.items() if but not in name}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})
    return len(state) - len(kept)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("asked", [torch.float16, torch.float32])
def test_the_network_is_of_the_type_that_was_asked_for(tmp_path: Path, stored: torch.dtype, asked: torch.dtype) -> None:
    write_seg(tmp_path)
    keep(tmp_path, but="none", dtype=stored)
    _, network = load_pretrained(AutoModelForSemanticSegmentation, tmp_path, asked)
    assert {tensor.dtype for tensor in network.parameters()} == {asked}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (WEIGHTS, b""),
        (WEIGHTS, b"no weights"),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"null"),
        ("config.json", b"{}"),
        ("config.json", b'{"model_type": "segformer", "depths": []}'),
        ("config.json", b'{"model_type": "segformer", "depths": "many"}'),
        ("config.json", b'{"model_type": "segformer", "hidden_sizes": [9, 9, 9, 9]}'),
        ("config.json", b'{"model_type": "vit"}'),
        ("preprocessor_config.json", b"{"),
        ("preprocessor_config.json", b"[]"),
    ],
)
def test_a_broken_model_is_a_fault_of_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    write_seg(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="no model that AutoModelForSemanticSegmentation loads .* Fetch it") as caught:
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_a_fault(tmp_path: Path) -> None:
    write_seg(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(ModelError, match="no model that AutoModelForSemanticSegmentation loads"):
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)


def test_weights_that_leave_a_part_out_are_a_fault(tmp_path: Path) -> None:
    write_seg(tmp_path)
    assert keep(tmp_path, but="decode_head.classifier") == 2
    with pytest.raises(ModelError, match="2 of its weights are missing, decode_head.classifier.bias among them"):
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)


def test_the_layer_that_dpt_never_uses_may_be_left_out(tmp_path: Path) -> None:
    write_dpt(tmp_path)
    _, whole = load_pretrained(AutoModelForDepthEstimation, tmp_path, torch.float32)
    assert keep(tmp_path, but=FIRST_FUSION) == 4
    _, without = load_pretrained(AutoModelForDepthEstimation, tmp_path, torch.float32)
    seen = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        depths = [network.eval()(seen).predicted_depth for network in (whole, without)]
    assert depths[0].std() > 0
    assert torch.equal(*depths)
