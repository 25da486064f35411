"""The diffusion pipeline of a recipe: Stable Diffusion with several ControlNets, uint8 arrays in and out.

Knows nothing of rows, files or Ray. Nothing here is random but one CPU generator per picture.
"""

import functools
import json
import math
import platform
from importlib.metadata import version
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    MultiControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
)
from diffusers.utils import logging as diffusers_logging
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from pipeline import models
from pipeline.faults import StoppedFault
from schemas.detectors import InpaintSettings
from schemas.recipe import Recipe
from schemas.work import Row

LIBRARIES = (
    "accelerate", "controlnet-aux", "diffusers", "numpy", "opencv-python-headless", "pillow", "pyarrow", "ray",
    "torch", "transformers",
)  # fmt: skip
MASKED = -1.0  # what control_v11p_sd15_inpaint was trained to see where it is to paint (lllyasviel/ControlNet-v1-1)
PROMPTS_KEPT = 256  # embeddings of the last distinct prompts, some 240 kB each for SD 1.5
_MODES = {"img2img": StableDiffusionControlNetImg2ImgPipeline, "text2img": StableDiffusionControlNetPipeline}

Pixels = NDArray[np.uint8]
"""[N, H, W, 3], RGB, 0..255."""


class Diffusion:
    """Loaded on a GPU in the recipe's dtype where there is one, else on the CPU in float32.

    Raises `ModelFault` for weights that are missing.
    """

    def __init__(self, recipe: Recipe) -> None:
        quiet_libraries()
        self._recipe = recipe
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = getattr(torch, recipe.dtype) if self._device.type == "cuda" else torch.float32
        if self._device.type == "cpu":
            torch.set_num_threads(1)  # sums split over threads round differently: 51 of 196,608 values at 256x256
        self._pipeline, self._models = self._load()
        self._embedded = functools.lru_cache(maxsize=PROMPTS_KEPT)(self._embed)

    @property
    def batch_size(self) -> int:
        """How many pictures to draw at once, always that many: the recipe's number on a GPU, one on the CPU.

        On a CPU a picture's last bits depend on its place in a batch, and a batch of 4 was only 1.0 to 1.3 times as
        fast as one picture at a time.
        """
        return self._recipe.batch_size if self._device.type == "cuda" else 1

    def draw(
        self,
        photos: Pixels,
        maps: list[Pixels],
        prompts: list[tuple[str, str]],
        seeds: list[int],
        masks: NDArray[np.bool_] | None = None,
    ) -> tuple[Pixels, list[bool]]:
        """Return the pictures of N photos, and which of them were finite numbers throughout.

        `maps` holds one array per net, in the recipe's order; `prompts` the prompt and negative prompt of each photo;
        `masks` [N, H, W] what an inpaint net is to paint anew.
        Raises `ValueError` for arguments that do not fit together: diffusers would accept some of them in silence.
        """
        self._check(photos, maps, prompts, seeds)
        embedded = [self._embedded(*pair) for pair in prompts]
        controls = self._recipe.controls
        arguments: dict[str, Any] = {
            "prompt_embeds": torch.cat([prompt for prompt, _ in embedded]),  # [N, 77, width]
            "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            "num_inference_steps": self._recipe.steps,
            "guidance_scale": self._recipe.guidance,
            "controlnet_conditioning_scale": [control.scale for control in controls],
            "control_guidance_start": [control.start for control in controls],
            "control_guidance_end": [control.end for control in controls],
            "output_type": "pt",
        }
        if self._recipe.guidance > 1:
            arguments["negative_prompt_embeds"] = torch.cat([negative for _, negative in embedded])
        drawn = self._run(arguments | self._pictures(photos, self._conditions(maps, masks)))  # [N, 3, H, W], 0..1
        finite = drawn.isfinite().flatten(1).all(1).tolist()
        scaled = (drawn.float().nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
        return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy(), finite

    def made_by(self, prompt: str, negative: str) -> Row:
        """Return the columns of `schemas.work.MADE_BY` for a picture of these prompts."""
        tokenizer = self._pipeline.tokenizer
        beyond = [len(tokenizer(text).input_ids) - tokenizer.model_max_length for text in (prompt, negative)]
        return {**self._facts, "prompt_tokens_cut": sum(max(0, tokens) for tokens in beyond)}

    @functools.cached_property
    def _facts(self) -> Row:
        scheduler = self._pipeline.scheduler
        on_gpu = self._device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(self._device) if on_gpu else f"cpu {platform.machine()}",
            "dtype": str(self._dtype).removeprefix("torch."),
            "scheduler": type(scheduler).__name__,
            "scheduler_config": _json(dict(scheduler.config)),
            "models": self._models,
            "versions": json.dumps(
                {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
            ),
        }

    def _check(self, photos: Pixels, maps: list[Pixels], prompts: list[tuple[str, str]], seeds: list[int]) -> None:
        shapes = {photos.shape, *(stacked.shape for stacked in maps)}
        if len(shapes) > 1 or any(stacked.dtype != np.uint8 for stacked in (photos, *maps)):
            message = f"photos and maps must be uint8 of one shape, not {sorted(shapes)}"
            raise ValueError(message)
        if len(maps) != len(self._recipe.controls) or not len(prompts) == len(seeds) == len(photos):
            message = (
                f"{len(photos)} photos, {len(maps)} maps, {len(prompts)} prompts and {len(seeds)} seeds do not fit"
            )
            raise ValueError(message)

    def _conditions(self, maps: list[Pixels], masks: NDArray[np.bool_] | None) -> list[torch.Tensor]:
        """Return the maps as nets take them, [N, 3, H, W], 0..1; the inpaint net knows what is masked by -1."""
        conditions = [self._to_device(stacked) for stacked in maps]
        for settings, condition in zip(self._recipe.detectors, conditions, strict=True):
            if isinstance(settings, InpaintSettings) and masks is not None:
                covered = torch.from_numpy(masks).to(self._device)[:, None]  # [N, 1, H, W]
                condition.masked_fill_(covered, MASKED)
        return conditions

    def _pictures(self, photos: Pixels, control: list[torch.Tensor]) -> dict[str, Any]:
        """Name the photos and conditions as the mode's pipeline calls them."""
        if self._recipe.mode == "img2img":
            return {"image": self._to_device(photos), "control_image": control, "strength": self._recipe.strength}
        return {"image": control, "height": photos.shape[1], "width": photos.shape[2]}

    def _run(self, arguments: dict[str, Any]) -> torch.Tensor:
        try:
            drawn: torch.Tensor = self._pipeline(**arguments).images
        except torch.OutOfMemoryError as error:
            message = f"the GPU's memory does not hold a batch of {self.batch_size}"
            raise StoppedFault(message, f"Try --set batch_size={max(1, self.batch_size // 2)}.") from error
        return drawn

    def _to_device(self, pixels: Pixels) -> torch.Tensor:
        """Return pixels as the pipeline takes them: [N, 3, H, W], 0..1; uint8 travels, the device divides."""
        return torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).to(self._dtype) / 255

    @torch.inference_mode()
    def _embed(self, prompt: str, negative: str) -> tuple[torch.Tensor, Any]:
        """Return the embeddings of both prompts [1, 77, width]; None for the negative one without guidance."""
        guided = self._recipe.guidance > 1
        embedded: tuple[torch.Tensor, Any] = self._pipeline.encode_prompt(
            prompt, self._device, 1, guided, negative_prompt=negative
        )
        return embedded

    def _load(self) -> tuple[Any, list[Row]]:
        """Load the base and the nets that the recipe names, and say what they are."""
        recipe = self._recipe
        base = models.locate_base(recipe.base)
        located = [models.locate_net(control.net) for control in recipe.controls]
        options = {"dtype": self._dtype, "use_safetensors": True}
        nets = [
            ControlNetModel.from_pretrained(net.folder, variant=control.net.variant, **options)
            for net, control in zip(located, recipe.controls, strict=True)
        ]
        loaded = _MODES[recipe.mode].from_pretrained(
            base.folder, controlnet=MultiControlNetModel(nets), variant=recipe.base.variant,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False, **options,
        )  # fmt: skip
        chosen = getattr(diffusers, recipe.scheduler.name)
        loaded.scheduler = chosen.from_config(loaded.scheduler.config, **recipe.scheduler.settings)
        roles = [f"controlnet-{detector.name}" for detector in recipe.detectors]
        rows = [base.as_row("base"), *(net.as_row(role) for net, role in zip(located, roles, strict=True))]
        loaded.set_progress_bar_config(disable=True)
        return loaded.to(self._device), rows


def quiet_libraries() -> None:
    """Keep diffusers and transformers from drawing progress bars, and from warning of what is as it should be."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _json(config: dict[str, Any]) -> str:
    """Return strict JSON: an infinite setting, which JSON has no number for, becomes its name."""
    finite = {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in config.items()
    }
    return json.dumps(finite, sort_keys=True, default=str, allow_nan=False)
