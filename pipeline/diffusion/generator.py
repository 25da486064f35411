"""Generate images with the models of a recipe.

The result is reproducible: the only source of randomness is one CPU generator for each image or tile.
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
from pipeline.diffusion.types import DiffusionPipeline
from pipeline.diffusion.upscale import cut_into_tiles, merge_tiles
from schemas.detectors import TileSettings
from schemas.recipe import Control, Recipe, Upscale
from schemas.row_parts import MadeBy

# The libraries whose versions are recorded for each image.
LIBRARIES = (
    "accelerate", "compel", "controlnet-aux", "deepcache", "diffusers", "numpy", "opencv-python-headless", "peft",
    "pillow", "pyarrow", "ray", "torch", "transformers",
)  # fmt: skip
LOW_MEMORY_BATCH = 2  # the largest batch size with `memory: low`


class ImageGenerator:
    """A generator of images: on a GPU in the dtype of the recipe, or on the CPU in float32.

    Args:
        recipe: The recipe.
        optimizations: The optimizations to apply. Defaults to all that the recipe and the device support.
        compile_cache: The address of a folder for compiled models. None to compile in every process.
        dtype: The dtype of the models. Defaults to that of the recipe on a GPU, and to float32 on the CPU.
        load_models: The function that loads the models.

    Attributes:
        compiled: The compiler of the models. None if they are not compiled.

    Raises:
        ModelError: Weights are missing or invalid.
    """

    def __init__(
        self,
        recipe: Recipe,
        optimizations: Optimizations | None = None,
        compile_cache: str | None = None,
        dtype: torch.dtype | None = None,
        load_models: Callable[[Recipe, torch.dtype, Optimizations], LoadedModels] = load_models,
    ) -> None:
        quiet_libraries()
        self._recipe = recipe
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self._device.type == "cuda"
        self._dtype = dtype or (getattr(torch, recipe.dtype) if on_gpu else torch.float32)
        if not on_gpu:
            # Sums that are split over threads round differently: 51 of 196,608 values differed at 256x256.
            torch.set_num_threads(1)
        self._eager_reason = eager_reason(recipe, on_gpu=on_gpu)
        if optimizations is None:
            # diffusers keeps the separate projections next to the fused ones, which takes memory.
            fuse = recipe.memory == "normal"
            optimizations = Optimizations(compiled=self._eager_reason is None, fuse_projections=fuse)
        self._loaded = load_models(recipe, self._dtype, optimizations)
        pipes = [pipe for pipe in (self._loaded.pipe, self._loaded.upscaler) if pipe is not None]
        deep_cache = DeepCache(pipes[0], recipe.deep_cache) if recipe.deep_cache > 1 else None
        # With `memory: low`, shared models have the offload hooks of the pipeline that was placed last. The first pass
        # runs first, so it is placed last.
        for pipe in reversed(pipes):
            optimize_layout(pipe, optimizations)
            place_on_device(pipe, self._device, recipe)
        self._size = AdaptiveBatchSize(self.batch_size)
        settings = [_first_pass(recipe), *([_second_pass(recipe.upscale)] if recipe.upscale else [])]
        self._passes = [
            Sampler(pipe, recipe, one_pass, optimizations, deep_cache)
            for pipe, one_pass in zip(pipes, settings, strict=True)
        ]
        self._batched = [BatchRunner(sampler, self._size, self._device, self._dtype) for sampler in self._passes]
        if self._loaded.safety_checker:
            device = self._device if recipe.memory == "normal" else torch.device("cpu")
            self._batched[0].checker = SafetyChecker(self._loaded.safety_checker, device)
        self.compiled = ModelCompiler(pipes, compile_cache) if optimizations.compiled else None
        for runner in self._batched:
            runner.compiled = self.compiled

    @property
    def pipe(self) -> DiffusionPipeline:
        """The pipeline of the first pass."""
        return self._passes[0].pipe

    @property
    def device(self) -> torch.device:
        """The device that generates the images."""
        return self._device

    @property
    def batch_size(self) -> int:
        """The number of images to generate together: that of the recipe, at most 2 with low memory, and 1 on the CPU.

        On the CPU, the last bits of an image depend on its index in the batch. A batch of 4 was only 1.0 to 1.3 times
        as fast as single images.
        """
        if self._device.type != "cuda":
            return 1
        size = self._recipe.batch_size
        return min(LOW_MEMORY_BATCH, size) if self._recipe.memory == "low" else size

    def resize(self, batch_size: int) -> None:
        """Set the batch size, for measurements."""
        self._size.restart(batch_size)

    @property
    def warming_seconds(self) -> float:
        """The total seconds of the first batch of each shape, which compiles the models. 0 without compilation."""
        return self.compiled.seconds if self.compiled else 0.0

    def check(self, request: GenerationRequest) -> None:
        """Raise `PromptError` if a prompt of the request is invalid."""
        self._passes[0].embed_prompts(request)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedImage]:
        """Generate one image for each request, in order.

        Args:
            requests: The requests, of any shapes.

        Returns:
            The images of the second pass if the recipe has one, else of the first.

        Raises:
            ValueError: A request does not match the recipe. diffusers accepts some of these mismatches silently.
            OutOfMemoryError: One image does not fit in the memory of the device.
        """
        for request in requests:
            self._validate(request)
        images = self._batched[0].run(requests)
        if not self._recipe.upscale:
            return images
        self._activate_pass(1)
        try:
            return self._upscale(requests, images, self._recipe.upscale)
        finally:
            self._activate_pass(0)

    def made_by(self, request: GenerationRequest, image: GeneratedImage) -> MadeBy:
        """Return the models, the libraries and the device that generated an image."""
        return replace(
            self._shared_facts,
            prompt_chunks=self._passes[0].embed_prompts(request).chunks,
            batch_size=image.batch_size,
            compiled=self.compiled.status if self.compiled else f"no: {self._eager_reason or 'disabled'}",
            retried=", ".join(image.retried) or None,
            nsfw=image.nsfw,
        )

    @functools.cached_property
    def _shared_facts(self) -> MadeBy:
        """The fields of `MadeBy` that are the same for all images of this generator."""
        scheduler = self._loaded.pipe.scheduler
        on_gpu = self._device.type == "cuda"
        versions = {"python": platform.python_version()}
        versions |= {library: version(library) for library in LIBRARIES if _is_installed(library)}
        return MadeBy(
            device=torch.cuda.get_device_name(self._device) if on_gpu else f"cpu {platform.machine()}",
            dtype=str(self._dtype).removeprefix("torch."),
            scheduler=type(scheduler).__name__,
            scheduler_config=_to_json(dict(scheduler.config)),
            models=tuple(self._loaded.models),
            versions=json.dumps(versions),
        )

    def _upscale(
        self, requests: Sequence[GenerationRequest], images: list[GeneratedImage], upscale: Upscale
    ) -> list[GeneratedImage]:
        """Run the second pass over the tiles of all images, which share batches."""
        tiled_images = [
            None if image.pixels is None else cut_into_tiles(request, image.pixels, upscale)
            for request, image in zip(requests, images, strict=True)
        ]
        tiles = iter(self._batched[1].run([tile for tiled in tiled_images if tiled for tile in tiled.requests]))
        enlarged = [
            merge_tiles(image, tiled, [next(tiles) for _ in tiled.corners], upscale.overlap) if tiled else image
            for image, tiled in zip(images, tiled_images, strict=True)
        ]
        return [self._check_safety(image) for image in enlarged]

    def _check_safety(self, image: GeneratedImage) -> GeneratedImage:
        """Run the safety checker on an enlarged image. An image that was flagged before stays flagged."""
        checker = self._batched[0].checker
        if checker is None or image.pixels is None:
            return image
        pixels = torch.from_numpy(image.pixels)[None].permute(0, 3, 1, 2).float() / 255  # [1, 3, H, W], float32, 0..1
        return replace(image, nsfw=bool(image.nsfw) or bool(checker(pixels).item()))

    def _activate_pass(self, index: int) -> None:
        """With `memory: low` on a GPU, attach the offload hooks of the pipeline of a pass to its models.

        Must be called before the pass runs. Both passes share models, and a model has the hooks of one pipeline only.
        """
        if self._recipe.memory == "low" and self._device.type != "cpu":
            place_on_device(self._passes[index].pipe, self._device, self._recipe)

    def _validate(self, request: GenerationRequest) -> None:
        shapes = {request.photo.shape, *(control_map.shape for control_map in request.maps)}
        dtypes = {str(pixels.dtype) for pixels in (request.photo, *request.maps)}
        if len(shapes) > 1 or dtypes != {"uint8"}:
            raise ValueError(f"photo and maps: not uint8 of one shape, but {sorted(dtypes)} of {sorted(shapes)}")
        if len(request.maps) != len(self._recipe.controls):
            raise ValueError(f"maps: {len(request.maps)} for {len(self._recipe.controls)} ControlNets")
        if (self._recipe.mode == "inpaint") != (request.inpaint_region is not None):
            raise ValueError("inpaint_region: required in mode inpaint, and unsupported in other modes")


def eager_reason(recipe: Recipe, *, on_gpu: bool) -> str | None:
    """Return why the models of a recipe are not compiled, or None if they are.

    The reason is recorded for each image. For a run that is too small to gain from compilation, `preflight` has already
    changed `recipe.compile` to `off`.
    """
    if recipe.compile == "on":
        return None
    if recipe.compile == "off":
        return "disabled, or too few images to save time"
    if recipe.memory == "low":
        return "unsupported with memory: low"
    if recipe.deep_cache > 1:
        return "unsupported with deep_cache"
    return None if on_gpu else "too slow on a CPU"


def quiet_libraries() -> None:
    """Disable the progress bars of diffusers and transformers, and their messages below the level of an error."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _is_installed(library: str) -> bool:
    """Return whether a library is installed. Generating images does not require Ray and the packages of detectors."""
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return True


def _first_pass(recipe: Recipe) -> PassSettings:
    mode = "img2img" if recipe.mode == "maps" else recipe.mode  # for types only: mode maps generates no images
    return PassSettings(mode, recipe.controls, recipe.strength, recipe.region.soften)


def _second_pass(upscale: Upscale) -> PassSettings:
    control = Control(detector=TileSettings(), net=upscale.net, scale=upscale.scale)
    return PassSettings("img2img", (control,), upscale.strength)


def _to_json(config: dict[str, Any]) -> str:
    """Return a configuration as strict JSON. Infinite numbers become strings, because JSON does not have them."""
    finite = {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value for key, value in config.items()
    }
    return json.dumps(finite, sort_keys=True, default=str, allow_nan=False)
