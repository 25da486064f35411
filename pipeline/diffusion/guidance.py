"""Guidance for a part of the steps: behind it the UNet runs for the prompt alone, in half of the time.

diffusers' own callback for this fails beside ControlNets.
"""

from typing import Any

_MASKS = ("mask", "masked_image_latents")  # of mode inpaint, which holds them twice for guidance

Named = dict[str, Any]


def end_guidance_after(pipe: Any, end: float) -> Named:  # noqa: ANN401 - diffusers' pipelines share no type
    """Return the arguments that make a pipeline leave guidance out after the share `end` of the steps that it runs.

    From there on it goes on with N latents and conditions for 2 N, which `prompt_half` cuts.
    """
    if end >= 1:
        return {}
    names = [name for name in _MASKS if name in pipe._callback_tensor_inputs]  # noqa: SLF001 - all that says which

    def after_step(running: Any, step: int, _timestep: Any, held: Named) -> Named:  # noqa: ANN401 - as above
        if step + 1 >= round(end * running.num_timesteps) and running.do_classifier_free_guidance:
            running._guidance_scale = 1.0  # noqa: SLF001 - as diffusers' own callback does
            for mask in held.values():
                mask.set_(mask[len(mask) // 2 :].clone())  # in place: the pipeline does not read it back
        return {}

    return {"callback_on_step_end": after_step, "callback_on_step_end_tensor_inputs": names}


def prompt_half(rows: int, named: Named) -> Named:
    """Return the conditions of a UNet or a net for its last `rows` pictures alone: those of the prompts."""
    cut = {"encoder_hidden_states": named["encoder_hidden_states"][-rows:]}
    if named.get("added_cond_kwargs"):
        added = named["added_cond_kwargs"].items()
        cut["added_cond_kwargs"] = {
            name: [part[-rows:] for part in each] if isinstance(each, list) else each[-rows:] for name, each in added
        }
    return named | cut


def call_before_unet(_unet: Any, arguments: tuple[Any, ...], named: Named) -> tuple[tuple[Any, ...], Named]:  # noqa: ANN401 - a hook of any module
    """Leave to the UNet what is for the prompts alone, once guidance has ended."""
    return arguments, prompt_half(len(arguments[0]), named)
