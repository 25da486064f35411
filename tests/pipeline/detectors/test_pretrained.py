"""Networks as transformers stores them: in whatever type they are stored, and refused where they are not whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForDepthEstimation, AutoModelForSemanticSegmentation

from jobs.bench.random_weights import write_seg
from pipeline.detectors.pretrained import load_pretrained
from pipeline.faults import ModelFault
from tests.pipeline.detectors.depth_networks import write_dpt

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
def test_a_broken_file_is_a_fault_of_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    write_seg(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFault, match="no model that AutoModelForSemanticSegmentation loads .* Fetch it") as caught:
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_a_fault(tmp_path: Path) -> None:
    write_seg(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(ModelFault, match="no model that AutoModelForSemanticSegmentation loads"):
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)


def test_weights_that_leave_a_part_out_are_a_fault(tmp_path: Path) -> None:
    write_seg(tmp_path)
    assert keep(tmp_path, but="decode_head.classifier") == 2
    with pytest.raises(ModelFault, match="2 of its weights are missing, decode_head.classifier.bias among them"):
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
