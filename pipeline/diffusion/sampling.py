"""One pass of one of diffusers' pipelines over a batch: requests in, latents out, and latents to pictures."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.diffusion import guidance, vae
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.prompt_embeddings import PromptEmbedding, PromptEncoder
from pipeline.diffusion.request import GenerationRequest, Mask, Pixels
from schemas.detectors import InpaintSettings
from schemas.recipe import Control, Recipe

if TYPE_CHECKING:
    from pipeline.diffusion.deep_cache import DeepCache

CACHED_REFERENCES = 4096  # of an IP-Adapter, some kB each
MASKED = -1.0  # what control_v11p_sd15_inpaint was trained to see where it is to paint (lllyasviel/ControlNet-v1-1)


@dataclass(frozen=True)
class PassSettings:
    """What a pass takes of a recipe: its mode, its nets, and for img2img and inpaint the share of the steps."""

    mode: Literal["text2img", "img2img", "inpaint"]
    controls: tuple[Control, ...]
    strength: float
    soften: int = 0


class Sampler:
    """A loaded pipeline with a recipe's arguments."""

    def __init__(
        self,
        pipe: Any,  # noqa: ANN401 - diffusers' pipelines share no type
        recipe: Recipe,
        settings: PassSettings,
        optimizations: Optimizations,
        deep_cache: "DeepCache | None" = None,
    ) -> None:
        self.pipe, self.settings = pipe, settings
        self._recipe, self._optimizations, self._deep_cache = recipe, optimizations, deep_cache
        self._embeddings = PromptEncoder(pipe, recipe.clip_skip, keep=optimizations.keep_prompts)
        self._seen: dict[bytes, torch.Tensor] = {}  # references by their digest
        self._ending = guidance.end_guidance_after(pipe, recipe.guidance_end)
        if self._ending:
            pipe.unet.register_forward_pre_hook(guidance.call_before_unet, with_kwargs=True)
        if recipe.ip_adapter:  # diffusers would repeat the whole batch's references for each picture of it
            self._embed_references = type(pipe).prepare_ip_adapter_image_embeds
            pipe.prepare_ip_adapter_image_embeds = lambda _pictures, embedded, *_: embedded
        if optimizations.encode_together and settings.mode == "inpaint":
            pipe._encode_vae_image = functools.partial(_encode_for_inpainting, pipe.vae)  # noqa: SLF001 - else one by one

    @property
    def kind(self) -> tuple[object, ...]:
        """All of the recipe that decides, beside a batch's shape, what its models are called with."""
        recipe = self._recipe
        guided = recipe.guidance > 1, recipe.guidance_end, recipe.guess_mode
        return self.settings, recipe.scheduler.model_dump_json(), recipe.steps, *guided

    def embedded(self, request: GenerationRequest) -> PromptEmbedding:
        """Return a request's prompts as the UNet takes them. Raises `PromptError`."""
        return self._embeddings.of(request.prompt, request.negative_prompt)

    @torch.inference_mode()
    def latents(
        self, requests: Sequence[GenerationRequest], device: torch.device, dtype: torch.dtype, *, anew: bool = False
    ) -> torch.Tensor:
        """Return the scaled latents [N, C, h, w] of the pictures of N requests of one shape.

        `anew`: prompts and references are encoded again, since the encoders compute in other numbers now.
        """
        # 1. What is the same for every picture.
        recipe, controls = self._recipe, self.settings.controls
        arguments: dict[str, Any] = {
            "num_inference_steps": recipe.steps,
            "guidance_scale": recipe.guidance,
            "guess_mode": recipe.guess_mode,
            "controlnet_conditioning_scale": [control.scale for control in controls],
            "control_guidance_start": [control.start for control in controls],
            "control_guidance_end": [control.end for control in controls],
            "output_type": "latent",
            **self._ending,
        }
        # 2. What is each picture's own: nothing is random but its generator.
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        arguments["generator"] = generators
        arguments |= self._prompts(requests, dtype, anew=anew) | self._references(requests, dtype, anew=anew)
        # 3. The pictures, under the names of the mode.
        maps = [
            self._map(control, [request.maps[place] for request in requests], requests, device, dtype)
            for place, control in enumerate(controls)
        ]
        photos = self._upload([request.photo for request in requests], device, dtype)
        arguments |= self._pictures(photos, maps, requests, generators)
        if self._deep_cache:
            self._deep_cache.begin()
        try:
            drawn: torch.Tensor = self.pipe(**arguments).images
        finally:
            self.pipe.controlnet.forget()
        return drawn

    @torch.inference_mode()
    def decoded(self, scaled: torch.Tensor) -> torch.Tensor:
        """Return what the autoencoder makes of scaled latents: [N, 3, H, W], 0..1 but for overshoots, float32."""
        return vae.decode(self.pipe.vae, scaled)

    @torch.inference_mode()
    def pictures(self, drawn: torch.Tensor, requests: Sequence[GenerationRequest]) -> torch.Tensor:
        """Return the pictures [N, 3, H, W] of what was decoded: in mode inpaint with the photos around the regions."""
        if self.settings.mode != "inpaint":
            return drawn
        photos = self._upload([request.photo for request in requests], drawn.device, drawn.dtype)
        shares = np.stack([_softened(_region(request), self.settings.soften) for request in requests])
        return torch.lerp(photos, drawn, _sent(shares, drawn.device)[:, None].to(drawn.dtype))

    def _prompts(
        self, requests: Sequence[GenerationRequest], dtype: torch.dtype, *, anew: bool
    ) -> dict[str, torch.Tensor]:
        embedded = [self._embeddings.of(each.prompt, each.negative_prompt, anew=anew) for each in requests]
        sides: dict[str, list[torch.Tensor | None]] = {
            "prompt_embeds": [each.prompt for each in embedded],  # [N, 77 * chunks, width]
            "pooled_prompt_embeds": [each.pooled for each in embedded],
        }
        if self._recipe.guidance > 1:
            sides["negative_prompt_embeds"] = [each.negative for each in embedded]
            sides["negative_pooled_prompt_embeds"] = [each.negative_pooled for each in embedded]
        whole = {name: [each for each in side if each is not None] for name, side in sides.items()}
        return {name: torch.cat(side).to(dtype) for name, side in whole.items() if side}

    def _references(
        self, requests: Sequence[GenerationRequest], dtype: torch.dtype, *, anew: bool
    ) -> dict[str, list[torch.Tensor]]:
        """Return what an IP-Adapter sees: [N, 1, width], with guidance nothing for N more before them."""
        if not self._recipe.ip_adapter:
            return {}
        if anew:
            self._seen.clear()
        seen = [self._reference(request.reference) for request in requests]  # [1 or 2, 1, width] each
        if anew:
            self._seen.clear()
        sides = zip(*(each.chunk(len(each)) for each in seen), strict=True)
        return {"ip_adapter_image_embeds": [torch.cat([torch.cat(side) for side in sides]).to(dtype)]}

    def _reference(self, picture: Pixels | None) -> torch.Tensor:
        """Return a reference as the image encoder sees it, which is kept: many pictures have the same."""
        if picture is None:
            message = "a recipe with an IP-Adapter needs a reference picture"
            raise ValueError(message)
        name = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        if name not in self._seen:
            if len(self._seen) == CACHED_REFERENCES:
                self._seen.clear()
            guided = self._recipe.guidance > 1
            device = self.pipe._execution_device  # noqa: SLF001 - where models take turns, not the UNet's own
            seen = [Image.fromarray(picture)]
            self._seen[name] = self._embed_references(self.pipe, seen, None, device, 1, guided)[0]
        return self._seen[name]

    def _map(
        self,
        control: Control,
        maps: list[Pixels],
        requests: Sequence[GenerationRequest],
        device: torch.device,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Return the maps of one net, [N, 3, H, W], 0..1; the inpaint net knows what is covered by -1."""
        uploaded = self._upload(maps, device, dtype)
        if isinstance(control.detector, InpaintSettings) and any(request.mask is not None for request in requests):
            uploaded.masked_fill_(_stacked([request.mask for request in requests], device).bool(), MASKED)
        return uploaded

    def _pictures(
        self,
        photos: torch.Tensor,
        maps: list[torch.Tensor],
        requests: Sequence[GenerationRequest],
        generators: list[torch.Generator],
    ) -> dict[str, Any]:
        """Name photos and maps as the mode's pipeline calls them."""
        height, width = photos.shape[2:]
        if self.settings.mode == "text2img":
            return {"image": maps, "height": height, "width": width}
        named: dict[str, Any] = {"image": photos, "control_image": maps, "strength": self.settings.strength}
        if self.settings.mode == "inpaint":
            masks = _stacked([request.inpaint_region for request in requests], photos.device)
            return named | {"mask_image": masks, "height": height, "width": width}
        return named | ({"latents": self._noised(photos, generators)} if self._optimizations.encode_together else {})

    def _noised(self, photos: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Return the photos' latents with the noise of the first step, as the pipeline would make them one by one."""
        from diffusers.utils.torch_utils import randn_tensor

        pipe, recipe = self.pipe, self._recipe
        clean = vae.encode(pipe.vae, photos * 2 - 1, generators)
        noise = randn_tensor(clean.shape, generator=generators, device=clean.device, dtype=clean.dtype)
        pipe.scheduler.set_timesteps(recipe.steps, device=clean.device)
        timesteps, _ = pipe.get_timesteps(recipe.steps, self.settings.strength, clean.device)
        noised: torch.Tensor = pipe.scheduler.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
        return noised

    def _upload(self, pictures: list[Pixels], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Return pictures as the pipeline takes them, [N, 3, H, W], 0..1; bytes travel, the device divides."""
        stacked = np.stack(pictures)  # [N, H, W, 3], uint8
        if not self._optimizations.travel_as_bytes:
            return (torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255).to(device, dtype)
        return _sent(stacked, device).permute(0, 3, 1, 2).to(dtype) / 255


def _sent(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on a device, on its way there from pinned memory: nothing waits for what the device has to do."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _encode_for_inpainting(autoencoder: Any, image: torch.Tensor, generator: list[torch.Generator]) -> torch.Tensor:  # noqa: ANN401 - one of diffusers' autoencoders
    return vae.encode(autoencoder, image, generator)


def _stacked(masks: list[Mask | None], device: torch.device) -> torch.Tensor:
    """Return masks as [N, 1, H, W], float32, 0 or 1; nothing is covered where there is none."""
    shape = next(mask.shape for mask in masks if mask is not None)
    whole = np.stack([np.zeros(shape, np.bool_) if mask is None else mask for mask in masks])
    return _sent(whole, device)[:, None].float()


def _region(request: GenerationRequest) -> Mask:
    if request.inpaint_region is None:
        message = "mode inpaint needs a region"
        raise ValueError(message)
    return request.inpaint_region


def _softened(region: Mask, pixels: int) -> NDArray[np.float32]:
    """Return how much of the new picture is seen, 0..1, [H, W]: none outside of its region, inside more and more.

    What is narrower than twice `pixels` is seen in part: it never vanishes.
    """
    from_rim = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # 1 at the rim
    return np.minimum(from_rim / (pixels + 1), 1).astype(np.float32)
