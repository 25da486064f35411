"""Measurements of image generation: the diffusers baseline, each optimization, and each batch size."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from jobs.bench import hardware
from jobs.bench.diffusers_baseline import DiffusersBaseline
from pipeline.diffusion.adaptive_batch_size import is_out_of_memory
from pipeline.diffusion.generator import ImageGenerator, eager_reason
from pipeline.diffusion.load import LoadedModels, load_models
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS, Optimizations
from pipeline.diffusion.request import GeneratedImage, GenerationRequest
from pipeline.errors import InterruptedRunError, RunStoppedError
from pipeline.recipes.prompts import render_prompt
from pipeline.steps.encode import ENCODER_THREADS, encode_pixels
from schemas.prompt import template_columns
from schemas.recipe import Recipe

OPTIMIZATIONS = {
    "skip_inactive": "skip inactive ControlNets",
    "embed_maps_once": "embed control maps once",
    "encode_batches": "encode photos as a batch",
    "cache_prompts": "cache prompt embeddings",
    "transfer_uint8": "transfer bytes",
    "channels_last": "channels last",
    "fuse_projections": "fuse projections",
    "compiled": "compile",
}
"""The fields of `Optimizations` in the order in which the benchmark enables them, with their names in the table."""
NEAR_FASTEST = 0.97  # the smallest batch size with at least this share of the best throughput is suggested
Load = Callable[[Recipe, torch.dtype, Optimizations], LoadedModels]


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        name: The measured configuration.
        batch_size: Images per batch.
        pace: Images per second, or None if the measurement failed.
        peak: Peak memory in bytes.
        warm_up_seconds: Seconds of the first batch with its compilation.
        flop: Floating-point operations of one image.
        note: Why the measurement failed or is not representative.
    """

    name: str
    batch_size: int
    pace: float | None = None
    peak: int | None = None
    warm_up_seconds: float | None = None
    flop: float | None = None
    note: str = ""

    def utilization(self, rate: float) -> float | None:
        """Return the FLOP/s of the models divided by `rate`, the FLOP/s of a matrix product."""
        return self.pace * self.flop / rate if self.pace and self.flop else None


class Bench:
    """Measures image generation with a recipe.

    Args:
        recipe: The recipe to measure.
        sizes: The batch sizes to measure.
        rounds: The number of timings, of which the fastest counts.
        load_models: The function that loads the models. Pass another one to measure random weights.
    """

    def __init__(self, recipe: Recipe, sizes: Sequence[int], rounds: int, load_models: Load = load_models) -> None:
        self._recipe, self._sizes, self._rounds = recipe, sorted(set(sizes)), rounds
        self._load_models = load_models
        self.on_gpu = torch.cuda.is_available()
        self._compiled = eager_reason(recipe, on_gpu=self.on_gpu) is None
        self._requests = bench_requests(recipe, self._sizes[-1])
        self._flop: dict[Optimizations, int] = {}  # of one image

    def matrix_rate(self) -> float:
        """Measure a matrix product, on a GPU in the dtype of the recipe, on a CPU core in float32. Returns FLOP/s."""
        if not self.on_gpu:
            torch.set_num_threads(1)  # as the generator does
        dtype = getattr(torch, self._recipe.dtype) if self.on_gpu else torch.float32
        return hardware.matrix_rate(torch.device("cuda" if self.on_gpu else "cpu"), dtype)

    def plain(self) -> Iterator[Measurement]:
        """Measure the diffusers baseline: one image per call, then each batch size. DeepCache is off."""
        recipe = self._recipe.model_copy(update={"deep_cache": 1})
        generator = self._load(NO_OPTIMIZATIONS, recipe)
        baseline = DiffusersBaseline(generator, recipe)
        flop = hardware.count_flop(partial(baseline.batch, self._requests[:1]))
        call: Callable[[], object] = partial(baseline.one, self._requests[0])
        yield replace(self._measure("baseline, PIL images", 1, call, generator.device), flop=flop)
        for size in self._sizes:
            call = partial(baseline.batch, self._requests[:size])
            yield replace(self._measure("baseline, batch", size, call, generator.device), flop=flop)

    def sizes(self) -> Iterator[Measurement]:
        """Measure each batch size with all optimizations."""
        optimizations = Optimizations(compiled=self._compiled)
        flop = self._flop_per_image(optimizations) if self._compiled else None
        generator = self._load(optimizations)
        flop = flop or self._count_flop(generator, optimizations)
        for size in self._sizes:
            yield replace(self._measure_generator("photo2anime", generator, size), flop=flop)

    def optimizations(self, size: int) -> Iterator[Measurement]:
        """Measure one batch size without optimizations, then with one more each time, then with image files."""
        enabled = NO_OPTIMIZATIONS
        yield self._measure_optimizations("photo2anime, not optimized", enabled, size)
        for field, name in OPTIMIZATIONS.items():
            if field != "compiled" or self._compiled:
                enabled = replace(enabled, **{field: True})
                yield self._measure_optimizations(f"  + {name}", enabled, size)
        generator = self._load(enabled)
        yield self._measure_with_files("photo2anime, with image files", generator, size, in_threads=False)
        yield self._measure_with_files("  + encode files in threads", generator, size, in_threads=True)

    def _load(self, optimizations: Optimizations, recipe: Recipe | None = None) -> ImageGenerator:
        """Load the models of a recipe after freeing the previous ones, because two sets may not fit in memory."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return ImageGenerator(recipe or self._recipe, optimizations=optimizations, load_models=self._load_models)

    def _flop_per_image(self, optimizations: Optimizations) -> int:
        """Count the floating-point operations of one image without compilation, which does not change them."""
        eager = replace(optimizations, compiled=False)
        return self._flop.get(eager) or self._count_flop(self._load(eager), eager)

    def _count_flop(self, generator: ImageGenerator, optimizations: Optimizations) -> int:
        generator.resize(1)
        self._flop[optimizations] = hardware.count_flop(partial(generator.generate, self._requests[:1]))
        return self._flop[optimizations]

    def _measure_optimizations(self, name: str, optimizations: Optimizations, size: int) -> Measurement:
        flop = self._flop_per_image(optimizations) if optimizations.compiled else None
        generator = self._load(optimizations)
        flop = flop or self._count_flop(generator, optimizations)
        measurement = replace(self._measure_generator(name, generator, size), flop=flop)
        # `sizes` has compiled the models in this process before, so that the time of a second warm-up is too short.
        return replace(measurement, warm_up_seconds=None) if optimizations.compiled else measurement

    def _measure_generator(self, name: str, generator: ImageGenerator, size: int) -> Measurement:
        """Measure a generator at a batch size. The note says why the measurement or the compiler failed."""
        generator.resize(size)
        warm_up_before, images = generator.warming_seconds, list[GeneratedImage]()

        def generate() -> None:
            images[:] = require_first_attempt(generator.generate(self._requests[:size]))

        try:
            measurement = self._measure(name, size, generate, generator.device)
        except InterruptedRunError:
            raise
        except RunStoppedError as error:
            return Measurement(name, size, note=str(error))
        if images[0].batch_size < size:
            return Measurement(name, size, note=f"out of memory; largest batch: {images[0].batch_size}")
        compiler = generator.compiled
        note = compiler.status if compiler and compiler.status != "yes" else ""
        return replace(measurement, warm_up_seconds=generator.warming_seconds - warm_up_before, note=note)

    def _measure_with_files(self, name: str, generator: ImageGenerator, size: int, *, in_threads: bool) -> Measurement:
        """Measure the generation of two batches and the encoding of their image files.

        Args:
            name: The measured configuration.
            generator: The generator.
            size: The batch size.
            in_threads: Encode a batch in threads while the next batch is generated. Otherwise, encode it first.
        """
        generator.resize(size)

        def generate() -> None:
            pending: list[Future[bytes]] = []
            for _ in range(2):
                for image in require_first_attempt(generator.generate(self._requests[:size])):
                    pending.append(threads.submit(encode_pixels, np.asarray(image.pixels), self._recipe.output))
                    if not in_threads:
                        pending[-1].result()
            for future in pending:
                future.result()

        with ThreadPoolExecutor(ENCODER_THREADS) as threads:
            measurement = self._measure(name, size, generate, generator.device)
        return replace(measurement, pace=measurement.pace and 2 * measurement.pace)

    def _measure(self, name: str, size: int, call: Callable[[], object], device: torch.device) -> Measurement:
        """Time a call that is assumed to generate `size` images, after one call to warm up."""
        hardware.reset_peak_memory(device)
        try:
            call()
            seconds = min(_seconds(call, device) for _ in range(self._rounds))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return Measurement(name, size, note="out of memory")
        return Measurement(name, size, size / seconds, hardware.peak_memory(device))


def suggested(measurements: Sequence[Measurement]) -> int | None:
    """Return the smallest batch size that is nearly as fast as the fastest, or None if all failed."""
    paces = {row.batch_size: row.pace for row in measurements if row.pace}
    fastest = max(paces.values(), default=0)
    return min((size for size, pace in paces.items() if pace >= NEAR_FASTEST * fastest), default=None)


def bench_requests(recipe: Recipe, count: int) -> list[GenerationRequest]:
    """Create requests with different seeds for one photo and its canny map, with the first aspect ratio of a recipe."""
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        photo = np.asarray(image.convert("RGB").resize(recipe.buckets[0], Image.Resampling.LANCZOS))
    edges = cv2.cvtColor(cv2.Canny(photo, 100, 200), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    region = np.zeros(photo.shape[:2], np.bool_)
    region[: len(region) // 2] = True
    prompt, negative_prompt = (
        render_prompt(template, dict.fromkeys(template_columns(template), "a photo"), 0)
        for template in (recipe.prompt, recipe.negative_prompt)
    )
    more: dict[str, Any] = {"inpaint_region": region, "mask": region} if recipe.mode == "inpaint" else {}
    if recipe.ip_adapter:
        more["reference"] = photo
    maps = (edges,) * len(recipe.controls)
    return [GenerationRequest(photo, maps, prompt, negative_prompt, seed, **more) for seed in range(count)]


def require_first_attempt(images: list[GeneratedImage]) -> list[GeneratedImage]:
    """Raise `RunStoppedError` if an image needed a retry, which distorts timings. Returns the images unchanged."""
    if any(image.retried or image.pixels is None for image in images):
        raise RunStoppedError(
            "benchmark: images are not finite or have a single colour, so they were generated again",
            "Check the models of the recipe, or try --set dtype=bfloat16.",
        )
    return images


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    hardware.synchronize(device)
    began = time.perf_counter()
    call()
    hardware.synchronize(device)
    return time.perf_counter() - began
