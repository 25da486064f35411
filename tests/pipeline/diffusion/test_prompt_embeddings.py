"""Prompt embeddings: plain prompts as in diffusers, weighted prompts, long prompts, and the cache."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from pipeline.diffusion.prompt_embeddings import PromptEncoder
from pipeline.errors import PromptError
from pipeline.recipes.prompt_weights import to_compel_syntax

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def pipe(families: dict[str, Path]) -> Any:
    return StableDiffusionPipeline.from_pretrained(families["sd"] / "base", safety_checker=None)


@pytest.fixture(scope="module")
def xl_pipe(families: dict[str, Path]) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(families["sdxl"] / "base")


def count_calls(model: torch.nn.Module) -> tuple[list[int], Any]:
    """Return a list that grows with each call of a model, and the handle that removes the hook."""
    calls: list[int] = []
    return calls, model.register_forward_pre_hook(lambda *_: calls.append(1))


@torch.inference_mode()
def test_plain_prompt_has_the_embedding_of_diffusers(pipe: Any, xl_pipe: Any) -> None:
    embedding = PromptEncoder(pipe).encode("anime style", "photo")
    expected = pipe.encode_prompt("anime style", "cpu", 1, True, negative_prompt="photo")
    assert torch.equal(embedding.prompt, expected[0])
    assert torch.equal(embedding.negative, expected[1])
    xl = PromptEncoder(xl_pipe).encode("anime style", "photo")
    expected = xl_pipe.encode_prompt("anime style", negative_prompt="photo")
    assert all(map(torch.equal, (xl.prompt, xl.negative, xl.pooled, xl.negative_pooled), expected))


@torch.inference_mode()
def test_clip_skip_skips_the_last_layers(pipe: Any, xl_pipe: Any) -> None:
    tokens = pipe.tokenizer("anime", padding="max_length", return_tensors="pt").input_ids
    states = pipe.text_encoder(tokens, output_hidden_states=True).hidden_states
    expected = pipe.text_encoder.final_layer_norm(states[-2])
    assert torch.equal(PromptEncoder(pipe, 1).encode("anime", "").prompt, expected)
    expected = xl_pipe.encode_prompt("anime", clip_skip=1, negative_prompt="")[0]
    assert torch.equal(PromptEncoder(xl_pipe, 1).encode("anime", "").prompt, expected)


def test_long_prompt_is_not_truncated(pipe: Any, xl_pipe: Any) -> None:
    for encoder in (PromptEncoder(pipe), PromptEncoder(xl_pipe)):
        night, snow = (encoder.encode("anime " * 100 + last_word, "photo") for last_word in ("night", "snow"))
        assert night.chunks == 2
        assert night.prompt.shape == night.negative.shape
        assert night.prompt.shape[1] == 154
        assert not torch.equal(night.prompt, snow.prompt)


@pytest.mark.parametrize("prompt", ["(night)1.4 sky", "night++ sky", "(night:1.4) sky", "night-- sky"])
def test_weights_of_every_notation_change_the_embedding(pipe: Any, xl_pipe: Any, prompt: str) -> None:
    for encoder in (PromptEncoder(pipe), PromptEncoder(xl_pipe)):
        plain, weighted = (encoder.encode(text, "") for text in ("night sky", prompt))
        assert weighted.chunks == 1
        assert not torch.equal(plain.prompt, weighted.prompt)
        if weighted.pooled is not None:
            assert torch.equal(weighted.pooled, plain.pooled)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("(night:1.4) sky", "(night)1.4 sky"),
        ("(a (b:1.2) c:1.3)", "(a (b)1.2 c)1.3"),
        ("((x:1.2): .5)", "((x)1.2)0.5"),
        (r"\(a:1.2\) (b:1.1", r"\(a:1.2\) (b:1.1"),
        ("(a:b) c) d:1.2)", "(a:b) c) d:1.2)"),
        ("(girl:1.2)2 cats", "(girl)1.2 2 cats"),
    ],
)
def test_colon_weights_are_converted_to_the_syntax_of_compel(prompt: str, expected: str) -> None:
    assert to_compel_syntax(prompt) == expected


def test_both_notations_of_a_weight_have_the_same_embedding(pipe: Any) -> None:
    one, other = (PromptEncoder(pipe).encode(text, "").prompt for text in ("(night)1.4 sky", "(night:1.4) sky"))
    assert torch.equal(one, other)


def test_tokens_are_on_the_execution_device_of_an_offloaded_encoder(pipe: Any) -> None:
    class OffloadedEncoder(torch.nn.Module):
        """A text encoder that is stored on `meta`, and moves to the device of its input when it is called."""

        device, dtype = torch.device("meta"), torch.float32

        def forward(self, tokens: torch.Tensor, *_: Any, **__: Any) -> Any:
            assert tokens.device.type == "cpu"
            self.device = tokens.device
            return SimpleNamespace(last_hidden_state=tokens[..., None].float().expand(-1, -1, 8))

    text_encoder = OffloadedEncoder()
    offloaded = SimpleNamespace(
        tokenizer=pipe.tokenizer,
        text_encoder=text_encoder,
        maybe_convert_prompt=pipe.maybe_convert_prompt,
        _execution_device=torch.device("cpu"),
    )
    encoder = PromptEncoder(offloaded)
    for text in ("anime", "(night)1.3 sky"):
        text_encoder.device = torch.device("meta")
        assert encoder.encode(text, "(snow)0.5").prompt.device.type == "cpu"


def test_error_of_the_device_is_not_a_prompt_error(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    encoder = PromptEncoder(pipe)
    monkeypatch.setattr(pipe.text_encoder, "forward", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        encoder.encode("anime", "photo")


def test_each_text_is_encoded_once(pipe: Any) -> None:
    encoder = PromptEncoder(pipe)
    calls, hook = count_calls(pipe.text_encoder)
    for prompt in ("anime", "night", "anime"):
        encoder.encode(prompt, "photo")
    hook.remove()
    assert len(calls) == 3


def test_text_is_encoded_again_without_the_cache(pipe: Any) -> None:
    encoder = PromptEncoder(pipe)
    encoder.encode("anime", "photo")
    calls, hook = count_calls(pipe.text_encoder)
    encoder.encode("anime", "photo")
    assert calls == []
    encoder.encode("anime", "photo", use_cache=False)
    hook.remove()
    assert len(calls) == 2


@pytest.mark.timeout(300)  # without packrat parsing, this takes an hour
def test_nested_parentheses_are_parsed_in_linear_time(pipe: Any) -> None:
    text = "(" * 16 + "night" + ")" * 16 + ", (((masterpiece))), (((best quality))), ((((sky" + ":( sad, " * 8
    assert PromptEncoder(pipe).encode(text, "").chunks == 1


def test_blend_is_invalid_for_sdxl_which_has_one_pooled_embedding(pipe: Any, xl_pipe: Any) -> None:
    blend = '("night", "snow").blend(0.5, 0.5)'
    assert PromptEncoder(pipe).encode(blend, "").chunks == 1
    with pytest.raises(PromptError):
        PromptEncoder(xl_pipe).encode(blend, "")


@pytest.mark.parametrize(
    "prompt",
    [
        '("a").blend(x)',
        "cat.swap(dog)",
        "cat withLora(foo, 0.5)",
        "(" * 400 + "anime",
        "(" * 17 + "anime" + ")" * 17,
    ],
)
def test_prompt_that_cannot_be_parsed_is_a_prompt_error(pipe: Any, prompt: str) -> None:
    with pytest.raises(PromptError):
        PromptEncoder(pipe).encode(prompt, "")
