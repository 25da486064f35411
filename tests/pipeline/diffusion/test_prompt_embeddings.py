"""Prompts: the text encoder's own embeddings, any length, weights, and each text encoded once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from pipeline.diffusion.prompt_embeddings import PromptEncoder
from pipeline.errors import PromptError
from pipeline.recipes.prompt_weights import to_compel_syntax

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pipe(families: dict[str, Path]) -> Any:
    return StableDiffusionPipeline.from_pretrained(families["sd"] / "base", safety_checker=None)


@pytest.fixture(scope="module")
def xl(families: dict[str, Path]) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(families["sdxl"] / "base")


@torch.inference_mode()
def test_a_plain_prompt_is_as_diffusers_embeds_it(pipe: Any, xl: Any) -> None:
    ours = PromptEncoder(pipe).of("anime style", "photo")
    theirs = pipe.encode_prompt("anime style", "cpu", 1, True, negative_prompt="photo")
    assert torch.equal(ours.prompt, theirs[0])
    assert torch.equal(ours.negative, theirs[1])
    both = PromptEncoder(xl).of("anime style", "photo")
    parts = xl.encode_prompt("anime style", negative_prompt="photo")
    assert all(map(torch.equal, (both.prompt, both.negative, both.pooled, both.negative_pooled), parts))


@torch.inference_mode()
def test_skipped_layers_are_left_out(pipe: Any, xl: Any) -> None:
    tokens = pipe.tokenizer("anime", padding="max_length", return_tensors="pt").input_ids
    states = pipe.text_encoder(tokens, output_hidden_states=True).hidden_states
    wanted = pipe.text_encoder.final_layer_norm(states[-2])
    assert torch.equal(PromptEncoder(pipe, 1).of("anime", "").prompt, wanted)
    assert torch.equal(
        PromptEncoder(xl, 1).of("anime", "").prompt, xl.encode_prompt("anime", clip_skip=1, negative_prompt="")[0]
    )


def test_nothing_of_a_long_prompt_is_cut_off(pipe: Any, xl: Any) -> None:
    for each in (pipe, xl):
        long, other = (PromptEncoder(each).of("anime " * 100 + last, "photo") for last in ("night", "snow"))
        assert long.chunks == 2
        assert long.prompt.shape == long.negative.shape
        assert long.prompt.shape[1] == 154
        assert not torch.equal(long.prompt, other.prompt)


@pytest.mark.parametrize("weighted", ["(night)1.4 sky", "night++ sky", "(night:1.4) sky", "night-- sky"])
def test_weights_are_heard_in_every_notation(pipe: Any, xl: Any, weighted: str) -> None:
    for each in (pipe, xl):
        plain, heavy = (PromptEncoder(each).of(text, "") for text in ("night sky", weighted))
        assert heavy.chunks == 1
        assert not torch.equal(plain.prompt, heavy.prompt)
        if heavy.pooled is not None:
            assert torch.equal(heavy.pooled, plain.pooled)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("(night:1.4) sky", "(night)1.4 sky"),
        ("(a (b:1.2) c:1.3)", "(a (b)1.2 c)1.3"),
        ("((x:1.2): .5)", "((x)1.2)0.5"),
        (r"\(a:1.2\) (b:1.1", r"\(a:1.2\) (b:1.1"),
        ("(a:b) c) d:1.2)", "(a:b) c) d:1.2)"),
        ("(girl:1.2)2 cats", "(girl)1.2 2 cats"),
    ],
)
def test_weights_in_each_other_are_compels_too(written: str, meant: str) -> None:
    assert to_compel_syntax(written) == meant


def test_encoders_that_take_turns_are_asked_where_they_work(pipe: Any) -> None:
    """Between its turns an encoder waits elsewhere, on `meta`, until its own forward brings it to where it works."""

    class Waiting(torch.nn.Module):
        device, dtype = torch.device("meta"), torch.float32

        def forward(self, tokens: torch.Tensor, *_: Any, **__: Any) -> Any:
            assert tokens.device.type == "cpu"
            self.device = tokens.device
            return SimpleNamespace(last_hidden_state=tokens[..., None].float().expand(-1, -1, 8))

    where = {"tokenizer": pipe.tokenizer, "text_encoder": Waiting(), "_execution_device": torch.device("cpu")}
    subject = PromptEncoder(SimpleNamespace(maybe_convert_prompt=pipe.maybe_convert_prompt, **where))
    for text in ("anime", "(night)1.3 sky"):
        where["text_encoder"].device = torch.device("meta")
        assert subject.of(text, "(snow)0.5").prompt.device.type == "cpu"


def test_what_a_device_says_is_no_fault_of_a_prompt(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        message = "CUDA error: an illegal memory access was encountered"
        raise RuntimeError(message)

    subject = PromptEncoder(pipe)
    monkeypatch.setattr(pipe.text_encoder, "forward", failing)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        subject.of("anime", "photo")


def test_encoders_are_asked_again_where_they_compute_otherwise_now(pipe: Any) -> None:
    subject, calls = PromptEncoder(pipe), []
    subject.of("anime", "photo")
    handle = pipe.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    subject.of("anime", "photo")
    assert calls == []
    subject.of("anime", "photo", anew=True)
    handle.remove()
    assert len(calls) == 2


def test_a_blend_is_refused_where_its_pooled_prompt_would_be_another(pipe: Any, xl: Any) -> None:
    blend = '("night", "snow").blend(0.5, 0.5)'
    assert PromptEncoder(pipe).of(blend, "").chunks == 1
    with pytest.raises(PromptError, match=r"\.blend\(\) is not to be had with XL"):
        PromptEncoder(xl).of(blend, "")


def test_the_notations_with_a_number_mean_the_same(pipe: Any) -> None:
    one, other = (PromptEncoder(pipe).of(text, "").prompt for text in ("(night)1.4 sky", "(night:1.4) sky"))
    assert torch.equal(one, other)


@pytest.mark.timeout(20)  # the grammar would take an hour if it read what it has read again
def test_parentheses_in_each_other_are_read_once(pipe: Any) -> None:
    text = "(" * 16 + "night" + ")" * 16 + ", (((masterpiece))), (((best quality))), ((((sky" + ":( sad, " * 8
    assert PromptEncoder(pipe).of(text, "").chunks == 1


def test_each_text_is_encoded_once(pipe: Any) -> None:
    subject, calls = PromptEncoder(pipe), []
    handle = pipe.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    for prompt in ("anime", "night", "anime"):
        subject.of(prompt, "photo")
    handle.remove()
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ('("a").blend(x)', "could not convert"),
        ("cat.swap(dog)", r"\.swap\(\) is not to be had"),
        ("cat withLora(foo, 0.5)", r"withLora\(\) is not to be had"),
        ("(" * 400 + "anime", "nested too deeply"),
        ("(" * 17 + "anime" + ")" * 17, "more than 16 deep"),
    ],
)
def test_what_cannot_be_read_is_the_photos_fault(pipe: Any, prompt: str, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        PromptEncoder(pipe).of(prompt, "")
