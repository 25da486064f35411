"""Guidance that ends early: the conditions of the negative prompts are dropped for the remaining steps."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.diffusion.guidance import end_guidance_after, prompt_half

pytestmark = pytest.mark.slow

PIPE = SimpleNamespace(_callback_tensor_inputs=["latents", "mask", "prompt_embeds"])


def test_prompt_half_returns_the_last_rows_of_the_conditions() -> None:
    tensor = torch.arange(4.0)[:, None]  # [4, 1]
    added = {"text_embeds": tensor, "image_embeds": [tensor, tensor]}
    reduced = prompt_half(2, {"encoder_hidden_states": tensor, "added_cond_kwargs": added, "return_dict": False})
    assert reduced["encoder_hidden_states"].flatten().tolist() == [2, 3]
    assert reduced["added_cond_kwargs"]["text_embeds"].flatten().tolist() == [2, 3]
    image_embeds = reduced["added_cond_kwargs"]["image_embeds"]
    assert [embedding.flatten().tolist() for embedding in image_embeds] == [[2, 3], [2, 3]]
    assert reduced["return_dict"] is False


def test_prompt_half_of_all_rows_returns_the_same_conditions() -> None:
    tensor = torch.arange(4.0)[:, None]  # [4, 1]
    reduced = prompt_half(4, {"encoder_hidden_states": tensor, "added_cond_kwargs": None})
    assert torch.equal(reduced["encoder_hidden_states"], tensor)


def test_guidance_ends_once_at_the_given_fraction_of_the_steps() -> None:
    arguments = end_guidance_after(PIPE, 0.5)
    assert arguments["callback_on_step_end_tensor_inputs"] == ["mask"]
    running: Any = SimpleNamespace(num_timesteps=6, _guidance_scale=7.0, do_classifier_free_guidance=True)
    mask = torch.arange(4.0)
    scales = []
    for step in range(6):
        arguments["callback_on_step_end"](running, step, None, {"mask": mask})
        running.do_classifier_free_guidance = running._guidance_scale > 1
        scales.append(running._guidance_scale)
    assert scales == [7.0, 7.0, 1.0, 1.0, 1.0, 1.0]
    assert mask.tolist() == [2, 3]


def test_no_arguments_are_needed_if_guidance_never_ends() -> None:
    assert end_guidance_after(PIPE, 1.0) == {}
