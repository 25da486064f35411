"""The baseline of the throughput benchmark: the pipeline call of the diffusers documentation.

It is measured with one image and with a batch of images.

The baseline uses the loaded pipeline of photo2anime, but with the ControlNet class of diffusers, PIL images or float
tensors as inputs, PIL images as outputs, and prompts as text.
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
    """The pipeline of a generator, without the changes of photo2anime.

    Args:
        generator: A generator without optimizations, because those change its models. It must not be used afterwards.
        recipe: The recipe of the generator.
    """

    def __init__(self, generator: ImageGenerator, recipe: Recipe) -> None:
        self.pipe, self._recipe = generator.pipe, recipe
        self.pipe.controlnet = MultiControlNetModel(list(generator.pipe.controlnet.nets))
        if recipe.ip_adapter:
            del self.pipe.prepare_ip_adapter_image_embeds  # the override of photo2anime: this restores the method
        if recipe.memory == "low" and generator.device.type != "cpu":
            # Again, because the MultiControlNetModel is new.
            self.pipe.enable_model_cpu_offload(device=generator.device)

    def one(self, request: GenerationRequest) -> list[Any]:
        """Generate one image from PIL images, as the documentation does. Returns a list of one PIL image."""
        maps = [Image.fromarray(control_map) for control_map in request.maps]
        seeded = torch.Generator("cpu").manual_seed(request.seed)
        photo, region = Image.fromarray(request.photo), _mask_to_pil(request.inpaint_region)
        inputs = self._image_inputs(photo, maps, region) | self._reference(request)
        return self._call(inputs, request.prompt, request.negative_prompt, seeded)

    def batch(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        """Generate a batch from float tensors of photos, masks and control maps. Returns PIL images."""
        maps = [_to_floats([request.maps[index] for request in requests]) for index in range(len(requests[0].maps))]
        masks = _masks_to_floats([request.inpaint_region for request in requests])
        inputs = self._image_inputs(_to_floats([request.photo for request in requests]), maps, masks)
        inputs |= self._reference(requests[0])  # the pipeline accepts one reference image for a batch
        seeded = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        prompts = [request.prompt for request in requests]
        negative_prompts = [request.negative_prompt for request in requests]
        return self._call(inputs, prompts, negative_prompts, seeded)

    def _reference(self, request: GenerationRequest) -> dict[str, Any]:
        return {} if request.reference is None else {"ip_adapter_image": Image.fromarray(request.reference)}

    def _call(
        self,
        inputs: dict[str, Any],
        prompt: str | list[str],
        negative_prompt: str | list[str],
        generator: torch.Generator | list[torch.Generator],
    ) -> list[Any]:
        controls = self._recipe.controls
        images: list[Any] = self.pipe(
            prompt=prompt,
            negative_prompt=negative_prompt,
            generator=generator,
            num_inference_steps=self._recipe.steps,
            guidance_scale=self._recipe.guidance,
            guess_mode=self._recipe.guess_mode,
            controlnet_conditioning_scale=[control.scale for control in controls],
            control_guidance_start=[control.start for control in controls],
            control_guidance_end=[control.end for control in controls],
            **inputs,
        ).images
        return images

    def _image_inputs(
        self,
        photos: Image.Image | torch.Tensor,
        maps: list[Image.Image] | list[torch.Tensor],
        masks: Image.Image | torch.Tensor | None,
    ) -> dict[str, Any]:
        """Return the image arguments of the pipeline of the recipe's mode."""
        if self._recipe.mode == "text2img":
            return {"image": maps}
        inputs = {"image": photos, "control_image": maps, "strength": self._recipe.strength}
        return inputs | ({"mask_image": masks} if self._recipe.mode == "inpaint" else {})


def _to_floats(images: list[Pixels]) -> torch.Tensor:
    """Convert images to [N, 3, H, W], float32, 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def _masks_to_floats(masks: list[Mask | None]) -> torch.Tensor | None:
    """Convert masks to [N, 1, H, W], float32, 0 or 1. Returns None if there are no masks."""
    arrays = [mask for mask in masks if mask is not None]
    return torch.from_numpy(np.stack(arrays))[:, None].float() if arrays else None


def _mask_to_pil(mask: Mask | None) -> Image.Image | None:
    return None if mask is None else Image.fromarray(mask.astype(np.uint8) * 255)
