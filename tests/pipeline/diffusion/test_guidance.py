"""Guidance that ends: what is for the prompts alone is left."""

from types import SimpleNamespace
from typing import Any

import torch

from pipeline.diffusion.guidance import end_guidance_after, prompt_half

PIPE = SimpleNamespace(_callback_tensor_inputs=["latents", "mask", "prompt_embeds"])


def test_conditions_are_cut_to_the_last_rows() -> None:
    both = torch.arange(4.0)[:, None]
    added = {"text_embeds": both, "image_embeds": [both, both]}
    cut = prompt_half(2, {"encoder_hidden_states": both, "added_cond_kwargs": added, "return_dict": False})
    assert cut["encoder_hidden_states"].flatten().tolist() == [2, 3]
    assert cut["added_cond_kwargs"]["text_embeds"].flatten().tolist() == [2, 3]
    assert [each.flatten().tolist() for each in cut["added_cond_kwargs"]["image_embeds"]] == [[2, 3], [2, 3]]
    assert cut["return_dict"] is False
    whole = prompt_half(4, {"encoder_hidden_states": both, "added_cond_kwargs": None})
    assert torch.equal(whole["encoder_hidden_states"], both)


def test_it_ends_once_after_its_share_of_the_steps() -> None:
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


def test_guidance_to_the_end_needs_nothing() -> None:
    assert end_guidance_after(PIPE, 1.0) == {}
