"""End classifier-free guidance after a share of the steps, which halves the work of the UNet for the other steps.

The callbacks of diffusers for this purpose (`SDCFGCutoffCallback` and its variants) fail in the pipelines with several
ControlNets.
"""

from typing import Any

import torch

from pipeline.diffusion.types import DiffusionPipeline

_MASK_TENSORS = ("mask", "masked_image_latents")  # of mode inpaint, which repeats both for guidance

Arguments = dict[str, Any]


def end_guidance_after(pipe: DiffusionPipeline, end: float) -> Arguments:
    """Return the call arguments that end guidance after the share `end` of the steps.

    For the remaining steps, the pipeline runs the UNet with N latents instead of 2 N, but still passes 2 N conditions.
    `prompt_half` removes the first half, which belongs to the negative prompts.

    Args:
        pipe: The pipeline to call.
        end: A share of the steps that the pipeline runs, 0..1.

    Returns:
        Arguments for the call of the pipeline. Empty if guidance never ends.
    """
    if end >= 1:
        return {}
    names = [name for name in _MASK_TENSORS if name in pipe._callback_tensor_inputs]  # noqa: SLF001 - no public name

    def after_step(running: DiffusionPipeline, step: int, _timestep: object, tensors: Arguments) -> Arguments:
        if step + 1 >= round(end * running.num_timesteps) and running.do_classifier_free_guidance:
            running._guidance_scale = 1.0  # noqa: SLF001 - the callbacks of diffusers set it too
            for mask in tensors.values():
                # In place, because the pipelines ignore a returned mask.
                mask.set_(mask[len(mask) // 2 :].clone())
        return {}

    return {"callback_on_step_end": after_step, "callback_on_step_end_tensor_inputs": names}


def prompt_half(rows: int, arguments: Arguments) -> Arguments:
    """Keep the last `rows` conditions in the call of a UNet or ControlNet.

    After the end of guidance, these are the conditions of the prompts. Otherwise, they are all conditions.

    Args:
        rows: The number of latents in the call: 2 N while guidance is applied, else N.
        arguments: The keyword arguments of the call. For N images, conditions are [N, ...], or [2 N, ...] if the
            pipeline was called with guidance. Then the first N are those of the negative prompts.

    Returns:
        The keyword arguments with conditions of [rows, ...].
    """
    reduced = {"encoder_hidden_states": arguments["encoder_hidden_states"][-rows:]}
    if arguments.get("added_cond_kwargs"):
        reduced["added_cond_kwargs"] = {
            name: [tensor[-rows:] for tensor in value] if isinstance(value, list) else value[-rows:]
            for name, value in arguments["added_cond_kwargs"].items()
        }
    return arguments | reduced


def call_before_unet(
    _unet: torch.nn.Module, args: tuple[Any, ...], kwargs: Arguments
) -> tuple[tuple[Any, ...], Arguments]:
    """Reduce the UNet's conditions to the number of its latents. A forward pre-hook with keyword arguments."""
    return args, prompt_half(len(args[0]), kwargs)
