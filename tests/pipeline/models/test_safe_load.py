"""Loading weights: code in files is not executed, and invalid files give a one-line error."""

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

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns about old pickles and some corrupt files
WEIGHTS = "model.safetensors"
FIRST_FUSION = "neck.fusion_stage.layers.0.residual_layer1."


def test_weights_are_returned_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    for name in ("good.pt", "good.safetensors"):
        assert read_weights(tmp_path / name)["a"].tolist() == [1, 1]


class Harmful:
    """An object that calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/p2a-was-run"),)  # type: ignore[return-value]  # noqa: S108 - the test asserts that the file does not appear


def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ModelError, match="harmful.pth"):
        read_weights(tmp_path / "harmful.pth")
    assert not Path("/tmp/p2a-was-run").exists()  # noqa: S108 - the same file


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": 1})])
def test_an_invalid_file_is_refused_with_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name) as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_corrupt_or_truncated_file_raises_no_other_error(tmp_path: Path, legacy: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """The exception of torch depends on the position of the corruption, and some corruptions are harmless."""
    path, errors = tmp_path / "changed.pth", 0
    torch.save({"weight": torch.ones(2, 2)}, path, _use_new_zipfile_serialization=not legacy)
    content, random = path.read_bytes(), np.random.default_rng(3)
    for number in range(400):
        corrupt = bytearray(content[: random.integers(1, len(content)) if number % 2 else None])
        corrupt[random.integers(min(len(corrupt), 300))] = random.integers(256)
        path.write_bytes(corrupt)
        try:
            read_weights(path)
        except ModelError:
            errors += 1
    assert errors > 100


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], 3])
def test_a_file_that_is_not_a_dictionary_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "nameless.pth")
    with pytest.raises(ModelError, match=rf"nameless\.pth.* {type(content).__name__}\b"):
        read_weights(tmp_path / "nameless.pth")


def rewrite_weights(folder: Path, without: str = "\0", dtype: torch.dtype = torch.float32) -> int:
    """Write the weights of a folder in `dtype`, except those whose names contain `without`, and count the omitted."""
    before = load_file(folder / WEIGHTS)
    after = {name: tensor.to(dtype) for name, tensor in before.items() if without not in name}
    save_file(after, folder / WEIGHTS, {"format": "pt"})
    return len(before) - len(after)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_are_converted_to_the_requested_type(tmp_path: Path, stored: torch.dtype, dtype: torch.dtype) -> None:
    write_seg(tmp_path)
    rewrite_weights(tmp_path, dtype=stored)
    _, network = load_pretrained(AutoModelForSemanticSegmentation, tmp_path, dtype)
    assert {tensor.dtype for tensor in network.parameters()} == {dtype}


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
def test_an_invalid_model_is_refused_with_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    write_seg(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="AutoModelForSemanticSegmentation") as caught:
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)
    assert "\n" not in str(caught.value)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    write_seg(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(ModelError, match="AutoModelForSemanticSegmentation"):
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    write_seg(tmp_path)
    assert rewrite_weights(tmp_path, without="decode_head.classifier") == 2
    with pytest.raises(ModelError, match=r"\b2\b.*decode_head\.classifier\.bias") as caught:
        load_pretrained(AutoModelForSemanticSegmentation, tmp_path, torch.float32)
    assert caught.value.code == "model.missing_weights"


def test_the_unused_layer_of_dpt_may_be_missing(tmp_path: Path) -> None:
    write_dpt(tmp_path)
    _, complete = load_pretrained(AutoModelForDepthEstimation, tmp_path, torch.float32)
    assert rewrite_weights(tmp_path, without=FIRST_FUSION) == 4
    _, incomplete = load_pretrained(AutoModelForDepthEstimation, tmp_path, torch.float32)
    pixels = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        depths = [network.eval()(pixels).predicted_depth for network in (complete, incomplete)]
    assert depths[0].std() > 0
    assert torch.equal(*depths)
