"""The demo model: the real classes, the same weights every time, and nets that are heard."""

from pathlib import Path

import pytest

from pipeline import demo_model


@pytest.mark.filterwarnings("ignore")
def test_it_is_the_same_wherever_it_is_built_and_leaves_global_randomness_alone(tmp_path: Path) -> None:
    import torch
    from diffusers import ControlNetModel

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    folders = [demo_model.built(tmp_path / name, "demo/controlnet-depth") for name in ("one", "two")]
    assert torch.rand(1) == expected
    net = ControlNetModel.from_pretrained(folders[0])
    files = [(folder / "diffusion_pytorch_model.safetensors").read_bytes() for folder in folders]
    assert files[0] == files[1]
    assert net.controlnet_mid_block.weight.abs().max() > 0  # zero until trained, by design: then no net is heard
    assert [path.name for path in (tmp_path / "one").iterdir()] == [f"demo-{demo_model.REVISION}"]


def test_its_words_are_single_tokens() -> None:
    from transformers import CLIPTokenizer

    vocabulary, merges = demo_model._vocabulary()
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    assert tokenizer.tokenize("anime style, qi") == ["anime</w>", "style</w>", ",</w>", "q", "i</w>"]
