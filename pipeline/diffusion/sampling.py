"""Call a diffusers pipeline for a batch of requests, decode its latents, and blend the images of mode inpaint."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from numpy.typing import NDArray
from PIL import Image

from pipeline.diffusion import guidance, vae
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.prompt_embeddings import PromptEmbedding, PromptEncoder
from pipeline.diffusion.request import GenerationRequest, Mask, Pixels
from pipeline.diffusion.types import DiffusionPipeline
from schemas.detectors import InpaintSettings
from schemas.recipe import Control, Recipe

if TYPE_CHECKING:
    from pipeline.diffusion.deep_cache import DeepCache

CACHED_REFERENCES = 4096  # limit of the cached embeddings of reference images, of a few kB each
MASKED = -1.0  # the value of masked pixels in the training of control_v11p_sd15_inpaint (lllyasviel/ControlNet-v1-1)


@dataclass(frozen=True)
class PassSettings:
    """The settings of the recipe that differ between the first pass and the second pass, which upscales.

    The settings are part of `Sampler.compile_key`, whose repr names the files of the compile cache. Renaming the class
    or a field therefore changes these names.

    Attributes:
        mode: The mode of the pipeline.
        controls: The ControlNets, with their scales, starts and ends.
        strength: The fraction of the steps that modes img2img and inpaint run, 0..1.
        soften: The width of the blend into the photo at the inner edge of an inpaint region, in pixels.
    """

    mode: Literal["text2img", "img2img", "inpaint"]
    controls: tuple[Control, ...]
    strength: float
    soften: int = 0


class Sampler:
    """A diffusers pipeline, called with the settings of a recipe.

    Args:
        pipe: The loaded pipeline, whose class matches `settings.mode`.
        recipe: The recipe.
        settings: The settings of this pass.
        optimizations: The optimizations to apply.
        deep_cache: The DeepCache of the pipeline's UNet, if any.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        recipe: Recipe,
        settings: PassSettings,
        optimizations: Optimizations,
        deep_cache: "DeepCache | None" = None,
    ) -> None:
        self.pipe, self.settings = pipe, settings
        self._recipe, self._optimizations, self._deep_cache = recipe, optimizations, deep_cache
        self._prompt_encoder = PromptEncoder(pipe, recipe.clip_skip, cache=optimizations.cache_prompts)
        self._cached_references: dict[bytes, torch.Tensor] = {}  # by the SHA-256 of the reference image
        self._guidance_arguments = guidance.end_guidance_after(pipe, recipe.guidance_end)
        if self._guidance_arguments:
            pipe.unet.register_forward_pre_hook(guidance.call_before_unet, with_kwargs=True)
        if recipe.ip_adapter:
            # diffusers would repeat the embeddings of the whole batch once for each image of the batch.
            self._embed_references = type(pipe).prepare_ip_adapter_image_embeds
            pipe.prepare_ip_adapter_image_embeds = lambda _images, embeddings, *_: embeddings
        if optimizations.encode_batches and settings.mode == "inpaint":
            # diffusers would encode the photos of a batch one by one.
            pipe._encode_vae_image = functools.partial(vae.encode_vae_image, pipe.vae)  # noqa: SLF001 - no public name

    @property
    def compile_key(self) -> tuple[object, ...]:
        """The settings that affect the compiled code. The shape of the batch affects it too, and is not included."""
        recipe = self._recipe
        guided = recipe.guidance > 1, recipe.guidance_end, recipe.guess_mode
        return self.settings, recipe.scheduler.model_dump_json(), recipe.steps, *guided

    def embed_prompts(self, request: GenerationRequest) -> PromptEmbedding:
        """Encode the prompts of a request. Raises `PromptError` if a prompt is invalid."""
        return self._prompt_encoder.encode(request.prompt, request.negative_prompt)

    @torch.inference_mode()
    def latents(
        self, requests: Sequence[GenerationRequest], device: torch.device, dtype: torch.dtype, *, use_cache: bool = True
    ) -> torch.Tensor:
        """Generate the latents of a batch.

        Args:
            requests: N requests. Their photos have the same shape, and their prompts the same number of chunks.
            device: The device of the models.
            dtype: The dtype of the models.
            use_cache: Whether cached embeddings of prompts and references may be used. Pass False if the dtype of the
                encoders has changed.

        Returns:
            Scaled latents, [N, C, h, w].
        """
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        arguments = self._recipe_arguments() | self._prompt_arguments(requests, dtype, use_cache=use_cache)
        arguments |= self._reference_arguments(requests, dtype, use_cache=use_cache)
        maps = [
            self._control_maps(control, [request.maps[index] for request in requests], requests, device, dtype)
            for index, control in enumerate(self.settings.controls)
        ]
        photos = self._upload([request.photo for request in requests], device, dtype)
        arguments |= self._image_arguments(photos, maps, requests, generators)
        if self._deep_cache:
            self._deep_cache.start_batch()
        try:
            latents: torch.Tensor = self.pipe(**arguments, generator=generators).images
        finally:
            self.pipe.controlnet.forget()
        return latents

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode scaled latents to images, [N, 3, H, W], float32. Values are not clamped to 0..1."""
        return vae.decode(self.pipe.vae, latents)

    @torch.inference_mode()
    def compose_images(self, decoded: torch.Tensor, requests: Sequence[GenerationRequest]) -> torch.Tensor:
        """Blend decoded images into their photos in mode inpaint. In other modes, return the images unchanged.

        Args:
            decoded: Decoded images, [N, 3, H, W], not clamped.
            requests: The N requests.

        Returns:
            [N, 3, H, W], not clamped. Pixels outside of the inpaint regions are those of the photos.
        """
        if self.settings.mode != "inpaint":
            return decoded
        photos = self._upload([request.photo for request in requests], decoded.device, decoded.dtype)
        weights = np.stack([_blend_weights(_inpaint_region(request), self.settings.soften) for request in requests])
        return torch.lerp(photos, decoded, _to_device(weights, decoded.device)[:, None].to(decoded.dtype))

    def _recipe_arguments(self) -> dict[str, Any]:
        """Return the call arguments that all images of the recipe share."""
        recipe, controls = self._recipe, self.settings.controls
        return {
            "num_inference_steps": recipe.steps,
            "guidance_scale": recipe.guidance,
            "guess_mode": recipe.guess_mode,
            "controlnet_conditioning_scale": [control.scale for control in controls],
            "control_guidance_start": [control.start for control in controls],
            "control_guidance_end": [control.end for control in controls],
            "output_type": "latent",
            **self._guidance_arguments,
        }

    def _prompt_arguments(
        self, requests: Sequence[GenerationRequest], dtype: torch.dtype, *, use_cache: bool
    ) -> dict[str, torch.Tensor]:
        """Return prompt embeddings, [N, 77 * chunks, width], and pooled ones for SDXL, [N, width]."""
        embeddings = [
            self._prompt_encoder.encode(request.prompt, request.negative_prompt, use_cache=use_cache)
            for request in requests
        ]
        tensors: dict[str, list[torch.Tensor | None]] = {
            "prompt_embeds": [embedding.prompt for embedding in embeddings],
            "pooled_prompt_embeds": [embedding.pooled for embedding in embeddings],
        }
        if self._recipe.guidance > 1:
            tensors["negative_prompt_embeds"] = [embedding.negative for embedding in embeddings]
            tensors["negative_pooled_prompt_embeds"] = [embedding.negative_pooled for embedding in embeddings]
        present = {name: [tensor for tensor in batch if tensor is not None] for name, batch in tensors.items()}
        return {name: torch.cat(batch).to(dtype) for name, batch in present.items() if batch}

    def _reference_arguments(
        self, requests: Sequence[GenerationRequest], dtype: torch.dtype, *, use_cache: bool
    ) -> dict[str, list[torch.Tensor]]:
        """Return the embeddings of the reference images: [N, 1, width], or with guidance [2 N, 1, width].

        With guidance, the first N embeddings are unconditional.
        """
        if not self._recipe.ip_adapter:
            return {}
        if not use_cache:
            self._cached_references.clear()
        embeddings = [self._reference_embedding(request.reference) for request in requests]  # [1 or 2, 1, width] each
        if not use_cache:
            self._cached_references.clear()
        halves = zip(*(embedding.chunk(len(embedding)) for embedding in embeddings), strict=True)
        return {"ip_adapter_image_embeds": [torch.cat([torch.cat(half) for half in halves]).to(dtype)]}

    def _reference_embedding(self, reference: Pixels | None) -> torch.Tensor:
        """Encode a reference image, [1 or 2, 1, width]. The result is cached, because many images share a reference."""
        if reference is None:
            raise ValueError("reference: missing, and the recipe has an IP-Adapter")
        digest = hashlib.sha256(repr(reference.shape).encode() + reference.tobytes()).digest()
        if digest not in self._cached_references:
            if len(self._cached_references) == CACHED_REFERENCES:
                self._cached_references.clear()
            # In memory mode low the models are offloaded to the host, so the device of the UNet may be the CPU.
            device = self.pipe._execution_device  # noqa: SLF001 - no public name
            self._cached_references[digest] = self._embed_references(
                self.pipe, [Image.fromarray(reference)], None, device, 1, self._recipe.guidance > 1
            )[0]
        return self._cached_references[digest]

    def _control_maps(
        self,
        control: Control,
        maps: list[Pixels],
        requests: Sequence[GenerationRequest],
        device: torch.device,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Return the control maps of one ControlNet, [N, 3, H, W], 0..1.

        For the inpaint ControlNet, masked pixels are -1.
        """
        uploaded = self._upload(maps, device, dtype)
        if isinstance(control.detector, InpaintSettings) and any(request.mask is not None for request in requests):
            uploaded.masked_fill_(_stack_masks([request.mask for request in requests], device).bool(), MASKED)
        return uploaded

    def _image_arguments(
        self,
        photos: torch.Tensor,
        maps: list[torch.Tensor],
        requests: Sequence[GenerationRequest],
        generators: list[torch.Generator],
    ) -> dict[str, Any]:
        """Return the arguments for photos and control maps. Their names depend on the mode. Text2img uses no photos."""
        height, width = photos.shape[2:]
        if self.settings.mode == "text2img":
            return {"image": maps, "height": height, "width": width}
        arguments: dict[str, Any] = {"image": photos, "control_image": maps, "strength": self.settings.strength}
        if self.settings.mode == "inpaint":
            masks = _stack_masks([request.inpaint_region for request in requests], photos.device)
            return arguments | {"mask_image": masks, "height": height, "width": width}
        if self._optimizations.encode_batches:
            arguments["latents"] = self._initial_latents(photos, generators)
        return arguments

    def _initial_latents(self, photos: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Encode photos [N, 3, H, W], 0..1, and add the noise of the first step, as the img2img pipeline does.

        Returns:
            Noisy scaled latents, [N, C, h, w].
        """
        pipe, recipe = self.pipe, self._recipe
        clean = vae.encode(pipe.vae, photos * 2 - 1, generators)
        noise = randn_tensor(clean.shape, generator=generators, device=clean.device, dtype=clean.dtype)
        pipe.scheduler.set_timesteps(recipe.steps, device=clean.device)
        timesteps, _ = pipe.get_timesteps(recipe.steps, self.settings.strength, clean.device)
        noisy: torch.Tensor = pipe.scheduler.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
        return noisy

    def _upload(self, images: list[Pixels], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Copy images to a device as [N, 3, H, W], 0..1. With `transfer_uint8`, the device divides by 255."""
        stacked = np.stack(images)  # [N, H, W, 3], uint8, 0..255
        if not self._optimizations.transfer_uint8:
            return (torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255).to(device, dtype)
        return _to_device(stacked, device).permute(0, 3, 1, 2).to(dtype) / 255


def _to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Move an array to a device. A copy to a GPU is asynchronous, from pinned memory."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _stack_masks(masks: list[Mask | None], device: torch.device) -> torch.Tensor:
    """Stack masks to [N, 1, H, W], float32, 0 or 1. A missing mask becomes zeros. At least one mask is required."""
    shape = next(mask.shape for mask in masks if mask is not None)
    stacked = np.stack([np.zeros(shape, np.bool_) if mask is None else mask for mask in masks])  # [N, H, W], bool
    return _to_device(stacked, device)[:, None].float()


def _inpaint_region(request: GenerationRequest) -> Mask:
    if request.inpaint_region is None:
        raise ValueError("inpaint_region: missing, and the mode is inpaint")
    return request.inpaint_region


def _blend_weights(region: Mask, soften: int) -> NDArray[np.float32]:
    """Return the weight of the generated image at each pixel, [H, W], 0..1.

    The weight is 0 outside of the region. Inside, it rises from 1 / (soften + 1) in the outermost pixels to 1 in the
    pixels that are `soften` pixels further inside. Inside, it is never 0, so that a narrow region is generated too.
    """
    # The distance to the nearest pixel outside of the region, [H, W], float32: 1 at its edge, 0 outside.
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance / (soften + 1), 1).astype(np.float32)
