"""The converter's heart: the models of a recipe, loaded and placed, and pictures drawn with them.

Nothing here is random but one CPU generator per picture.
"""

import functools
import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from pipeline.diffusion.adaptive_batch_size import AdaptiveBatchSize
from pipeline.diffusion.batching import BatchRunner
from pipeline.diffusion.compile import ModelCompiler
from pipeline.diffusion.deep_cache import DeepCache
from pipeline.diffusion.load import LoadedModels, load_models
from pipeline.diffusion.memory import optimize_layout, place_on_device
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.request import GeneratedImage, GenerationRequest
from pipeline.diffusion.safety_checker import SafetyChecker
from pipeline.diffusion.sampling import PassSettings, Sampler
from pipeline.diffusion.upscale import cut_into_tiles, merge_tiles
from schemas.detectors import TileSettings
from schemas.recipe import Control, Recipe, Upscale
from schemas.work import Row

LIBRARIES = (
    "accelerate", "compel", "controlnet-aux", "deepcache", "diffusers", "numpy", "opencv-python-headless", "peft",
    "pillow", "pyarrow", "ray", "torch", "transformers",
)  # fmt: skip
LOW_MEMORY_BATCH = 2  # pictures at once where memory is low


class ImageGenerator:
    """On a GPU in the recipe's dtype where there is one, else on the CPU in float32.

    `optimizations` are switched off to measure them, `dtype` is changed for tests, and `load_models` for models of
    random weights. `compile_cache` is a folder's address.
    Raises `ModelError` for weights that are missing or broken.
    """

    def __init__(
        self,
        recipe: Recipe,
        optimizations: Optimizations | None = None,
        compile_cache: str | None = None,
        dtype: torch.dtype | None = None,
        load_models: Callable[[Recipe, torch.dtype, Optimizations], LoadedModels] = load_models,
    ) -> None:
        # 1. Where, and in which numbers.
        quiet_libraries()
        self._recipe = recipe
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self._device.type == "cuda"
        self._dtype = dtype or (getattr(torch, recipe.dtype) if on_gpu else torch.float32)
        if not on_gpu:
            torch.set_num_threads(1)  # sums split over threads round differently: 51 of 196,608 values at 256x256
        reason = eager_reason(recipe, on_gpu=on_gpu)
        self._plain_because = reason or "switched off"
        # Fused projections stand beside those that they are made of.
        optimizations = optimizations or Optimizations(
            compiled=reason is None, fuse_projections=recipe.memory == "normal"
        )
        # 2. The models.
        self._loaded = load_models(recipe, self._dtype, optimizations)
        pipes = [pipe for pipe in (self._loaded.pipe, self._loaded.upscaler) if pipe is not None]
        deep_cache = DeepCache(pipes[0], recipe.deep_cache) if recipe.deep_cache > 1 else None
        for pipe in pipes:
            optimize_layout(pipe, optimizations)
            place_on_device(pipe, self._device, recipe)
        # 3. The passes over them.
        self._size = AdaptiveBatchSize(self.batch_size)
        settings = [_first(recipe), *([_second(recipe)] if recipe.upscale else [])]
        self._passes = [
            Sampler(pipe, recipe, each, optimizations, deep_cache) for pipe, each in zip(pipes, settings, strict=True)
        ]
        self._batched = [BatchRunner(each, self._size, self._device, self._dtype) for each in self._passes]
        if self._loaded.safety_checker:
            self._batched[0].checker = SafetyChecker(
                self._loaded.safety_checker, self._device if recipe.memory == "normal" else torch.device("cpu")
            )
        self.compiled = ModelCompiler(pipes, compile_cache) if optimizations.compiled else None
        for batched in self._batched:
            batched.compiled = self.compiled

    @property
    def pipe(self) -> Any:  # noqa: ANN401 - diffusers' pipelines share no type
        """The pipeline of the recipe's mode."""
        return self._passes[0].pipe

    @property
    def device(self) -> torch.device:
        """Where pictures are drawn."""
        return self._device

    @property
    def batch_size(self) -> int:
        """How many pictures to draw at once: the recipe's number on a GPU, fewer where memory is low; one on the CPU.

        On a CPU a picture's last bits depend on its place in a batch, and a batch of 4 was only 1.0 to 1.3 times as
        fast as one picture at a time.
        """
        most = LOW_MEMORY_BATCH if self._recipe.memory == "low" else self._recipe.batch_size
        return min(most, self._recipe.batch_size) if self._device.type == "cuda" else 1

    def resize(self, batch_size: int) -> None:
        """Draw so many at once from now on, to measure what suits a machine."""
        self._size.restart(batch_size)

    @property
    def warming_seconds(self) -> float:
        """How long compilation has taken so far."""
        return self.compiled.seconds if self.compiled else 0.0

    def check(self, request: GenerationRequest) -> None:
        """Raise `PromptError` for prompts that cannot be read."""
        self._passes[0].embedded(request)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedImage]:
        """Return the drawing of each request, in their order, the second pass's where the recipe has one.

        Raises `ValueError` for requests that do not fit the recipe: diffusers would accept some of them in silence.
        """
        for request in requests:
            self._refuse(request)
        drawings = self._batched[0].run(requests)
        if not self._recipe.upscale:
            return drawings
        self._take_turns(1)
        larger = self._enlarged(requests, drawings, self._recipe.upscale)
        self._take_turns(0)
        return larger

    def made_by(self, request: GenerationRequest, drawing: GeneratedImage) -> Row:
        """Return the columns of `schemas.work.MADE_BY` for a drawing."""
        return {
            **self._facts,
            "prompt_chunks": self._passes[0].embedded(request).chunks,
            "batch_size": drawing.batch_size,
            "compiled": self.compiled.said if self.compiled else f"no: {self._plain_because}",
            "retried": ", ".join(drawing.retried) or None,
            "nsfw": drawing.nsfw,
        }

    @functools.cached_property
    def _facts(self) -> Row:
        scheduler = self._loaded.pipe.scheduler
        on_gpu = self._device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(self._device) if on_gpu else f"cpu {platform.machine()}",
            "dtype": str(self._dtype).removeprefix("torch."),
            "scheduler": type(scheduler).__name__,
            "scheduler_config": _json(dict(scheduler.config)),
            "models": self._loaded.models,
            "versions": json.dumps(
                {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES if _installed(name)}
            ),
        }

    def _enlarged(
        self, requests: Sequence[GenerationRequest], drawings: list[GeneratedImage], upscale: Upscale
    ) -> list[GeneratedImage]:
        """Return drawings after the second pass over their tiles, those of all pictures in the same batches."""
        both = zip(requests, drawings, strict=True)
        tiled = [
            None if each.pixels is None else cut_into_tiles(request, each.pixels, upscale) for request, each in both
        ]
        drawn = iter(self._batched[1].run([tile for each in tiled if each for tile in each.requests]))
        whole = [
            merge_tiles(drawing, each, [next(drawn) for _ in each.places], upscale.overlap) if each else drawing
            for drawing, each in zip(drawings, tiled, strict=True)
        ]
        return [self._checked_again(each) for each in whole]

    def _checked_again(self, drawing: GeneratedImage) -> GeneratedImage:
        """Ask the safety checker about what the second pass made of a picture, too."""
        checker = self._batched[0].checker
        if checker is None or drawing.pixels is None:
            return drawing
        picture = torch.from_numpy(drawing.pixels)[None].permute(0, 3, 1, 2).float() / 255  # [1, 3, H, W]
        return replace(drawing, nsfw=bool(drawing.nsfw) or bool(checker(picture).item()))

    def _take_turns(self, number: int) -> None:
        """Where memory is low, let the models that both passes share follow one of them."""
        if self._recipe.memory == "low" and self._device.type != "cpu":
            place_on_device(self._passes[number].pipe, self._device, self._recipe)

    def _refuse(self, request: GenerationRequest) -> None:
        shapes = {request.photo.shape, *(drawn.shape for drawn in request.maps)}
        kinds = {str(pixels.dtype) for pixels in (request.photo, *request.maps)}
        if len(shapes) > 1 or kinds != {"uint8"}:
            message = f"photo and maps must be uint8 of one shape, not {sorted(shapes)} of {sorted(kinds)}"
            raise ValueError(message)
        if len(request.maps) != len(self._recipe.controls):
            message = f"{len(request.maps)} maps do not fit {len(self._recipe.controls)} nets"
            raise ValueError(message)
        if (self._recipe.mode == "inpaint") != (request.inpaint_region is not None):
            message = "a region goes with mode inpaint, and with no other"
            raise ValueError(message)


def eager_reason(recipe: Recipe, *, on_gpu: bool) -> str | None:
    """Return why a recipe's models are not compiled; None where they are.

    Whether a run is worth it is decided before, in the recipe.
    """
    if recipe.compile == "on":
        return None
    if recipe.compile == "off":
        return "switched off, or too few pictures to pay for it"
    if recipe.memory == "low":
        return "memory is low, and models that move are not compiled"
    if recipe.deep_cache > 1:
        return "deep_cache goes without"
    return None if on_gpu else "on a CPU it is not worth it"


def quiet_libraries() -> None:
    """Keep diffusers and transformers from drawing progress bars, and from warning of what is as it should be."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _installed(library: str) -> bool:
    """Tell whether a library is there: the converter draws without Ray, or what the detectors stand on."""
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return True


def _first(recipe: Recipe) -> PassSettings:
    mode = "img2img" if recipe.mode == "maps" else recipe.mode
    return PassSettings(mode, recipe.controls, recipe.strength, recipe.region.soften)


def _second(recipe: Recipe) -> PassSettings:
    if recipe.upscale is None:
        message = "the recipe has no second pass"
        raise ValueError(message)
    control = Control(detector=TileSettings(), net=recipe.upscale.net, scale=recipe.upscale.scale)
    return PassSettings("img2img", (control,), recipe.upscale.strength)


def _json(config: dict[str, Any]) -> str:
    """Return strict JSON: an infinite setting, which JSON has no number for, becomes its name."""
    finite = {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in config.items()
    }
    return json.dumps(finite, sort_keys=True, default=str, allow_nan=False)
