"""What ours is measured against: the call that diffusers' documentation shows, and the same for a batch.

Nothing here is ours but the models: diffusers' own class for several nets, PIL pictures in and out, text prompts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import MultiControlNetModel
from PIL import Image

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest, Mask, Pixels
from schemas.recipe import Recipe


class DiffusersBaseline:
    """The plain pipeline of a recipe. `ours` must be without gains: its models are used as they were loaded."""

    def __init__(self, ours: ImageGenerator, recipe: Recipe) -> None:
        self.pipe, self._recipe = ours.pipe, recipe
        self.pipe.controlnet = MultiControlNetModel(list(ours.pipe.controlnet.nets))
        if recipe.ip_adapter:
            del self.pipe.prepare_ip_adapter_image_embeds  # ours: the class's own is left
        if recipe.memory == "low" and ours.device.type != "cpu":
            self.pipe.enable_model_cpu_offload(device=ours.device)  # of the new member too

    def one(self, request: GenerationRequest) -> list[Any]:
        """Draw one picture, as a tutorial does: PIL in, PIL out, one generator."""
        maps = [Image.fromarray(drawn) for drawn in request.maps]
        generator = torch.Generator("cpu").manual_seed(request.seed)
        photo, region = Image.fromarray(request.photo), _mask_picture(request.inpaint_region)
        named = self._named(photo, maps, region) | self._reference(request)
        return self._call(named, request.prompt, request.negative_prompt, generator)

    def batch(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        """Draw a batch: floats made on the host, one tensor per net, a generator for each picture, PIL out."""
        maps = [_floats([request.maps[place] for request in requests]) for place in range(len(requests[0].maps))]
        masks = _mask_floats([request.inpaint_region for request in requests])
        named = self._named(_floats([request.photo for request in requests]), maps, masks)
        named |= self._reference(requests[0])  # one for all: so the pipeline has it
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        prompts, negatives = ([getattr(each, kind) for each in requests] for kind in ("prompt", "negative_prompt"))
        return self._call(named, prompts, negatives, generators)

    def _reference(self, request: GenerationRequest) -> dict[str, Any]:
        seen = request.reference
        return {} if seen is None else {"ip_adapter_image": Image.fromarray(seen)}

    def _call(self, named: dict[str, Any], prompt: Any, negative: Any, generator: Any) -> list[Any]:  # noqa: ANN401 - one or a list
        controls = self._recipe.controls
        drawn: list[Any] = self.pipe(
            prompt=prompt,
            negative_prompt=negative,
            generator=generator,
            num_inference_steps=self._recipe.steps,
            guidance_scale=self._recipe.guidance,
            guess_mode=self._recipe.guess_mode,
            controlnet_conditioning_scale=[control.scale for control in controls],
            control_guidance_start=[control.start for control in controls],
            control_guidance_end=[control.end for control in controls],
            **named,
        ).images
        return drawn

    def _named(self, photos: Any, maps: Any, masks: Any) -> dict[str, Any]:  # noqa: ANN401 - pictures or tensors
        """Name photos and maps as the mode's pipeline calls them."""
        if self._recipe.mode == "text2img":
            return {"image": maps}
        named = {"image": photos, "control_image": maps, "strength": self._recipe.strength}
        return named | ({"mask_image": masks} if self._recipe.mode == "inpaint" else {})


def _floats(pictures: list[Pixels]) -> torch.Tensor:
    """Return [N, 3, H, W], float32, 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _mask_floats(masks: list[Mask | None]) -> torch.Tensor | None:
    """Return [N, 1, H, W], float32, 0 or 1."""
    given = [mask for mask in masks if mask is not None]
    return torch.from_numpy(np.stack(given))[:, None].float() if given else None


def _mask_picture(mask: Mask | None) -> Image.Image | None:
    return None if mask is None else Image.fromarray(mask.astype(np.uint8) * 255)
