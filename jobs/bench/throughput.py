"""The converter beside diffusers' plain calls: one row for each way, each gain and each batch size."""

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
from pipeline.errors import RunStoppedError
from pipeline.recipes.prompts import render_prompt
from pipeline.steps.encode import ENCODER_THREADS, encode_pixels
from schemas.prompt import template_columns
from schemas.recipe import Recipe

OPTIMIZATIONS = {
    "leave_out_nets": "silent nets are not run",
    "embed_maps_once": "maps are embedded once",
    "encode_together": "photos are encoded together",
    "keep_prompts": "prompts are encoded once",
    "travel_as_bytes": "bytes to the device and back",
    "channels_last": "channels last",
    "fuse_projections": "fused projections",
    "compiled": "compiled",
}
"""How a table calls `pipeline.diffusion.optimizations.Optimizations`, in the order in which they are switched on."""
NEAR = 0.97  # of the fastest batch size's pace: a smaller batch that comes so near is preferred
Load = Callable[[Recipe, torch.dtype, Optimizations], LoadedModels]


@dataclass(frozen=True)
class Measurement:
    """One way to draw: pictures a second, bytes at most, seconds of warming up, FLOP of a picture, and what to mind."""

    what: str
    batch_size: int
    pace: float | None = None
    peak: int | None = None
    warming: float | None = None
    flop: float | None = None
    note: str = ""

    def share(self, rate: float) -> float | None:
        """Return what share of a measured matrix product's FLOP/s the models reach."""
        return self.pace * self.flop / rate if self.pace and self.flop else None


class Bench:
    """Measures a recipe with its own models, or those of `load_models`. `rounds`: the fastest of them counts."""

    def __init__(self, recipe: Recipe, sizes: Sequence[int], rounds: int, load_models: Load = load_models) -> None:
        self._recipe, self._sizes, self._rounds = recipe, sorted(set(sizes)), rounds
        self._load_models = load_models
        self.on_gpu = torch.cuda.is_available()
        self._compiled = eager_reason(recipe, on_gpu=self.on_gpu) is None
        self._requests = bench_requests(recipe, self._sizes[-1])
        self._flop: dict[Optimizations, int] = {}  # of one picture

    def plain(self) -> Iterator[Measurement]:
        """Yield diffusers' own calls: a tutorial's, and one for each batch size."""
        plain = self._recipe.model_copy(update={"deep_cache": 1})
        ours = self._loaded(NO_OPTIMIZATIONS, plain)
        tutorial = DiffusersBaseline(ours, plain)
        flop = hardware.count_flop(partial(tutorial.batch, self._requests[:1]))
        draw: Callable[[], object] = partial(tutorial.one, self._requests[0])
        yield replace(self._timed("a tutorial's call, PIL in and out", 1, draw, ours.device), flop=flop)
        for size in self._sizes:
            draw = partial(tutorial.batch, self._requests[:size])
            yield replace(self._timed("diffusers with a batch", size, draw, ours.device), flop=flop)

    def sizes(self) -> Iterator[Measurement]:
        """Yield ours with all gains at every batch size."""
        gains = Optimizations(compiled=self._compiled)
        flop = self._flop_of(gains) if self._compiled else None
        ours = self._loaded(gains)
        flop = flop or self._counted(ours, gains)
        for size in self._sizes:
            yield replace(self._ours("ours", ours, size), flop=flop)

    def gains(self, size: int) -> Iterator[Measurement]:
        """Yield ours at one batch size without any gain, then with one more each time, and then with its files."""
        gains = NO_OPTIMIZATIONS
        yield self._with_gains("ours without gains", gains, size)
        for gain, what in OPTIMIZATIONS.items():
            if gain != "compiled" or self._compiled:
                gains = replace(gains, **{gain: True})
                yield self._with_gains(f"  + {what}", gains, size)
        ours = self._loaded(gains)
        yield self._with_files("ours and its files, in turns", ours, size, meanwhile=False)
        yield self._with_files("  + encoded in threads meanwhile", ours, size, meanwhile=True)

    def rate(self) -> float:
        """Return the FLOP/s of a matrix product in the recipe's numbers, on this device; of a CPU on one core."""
        if not self.on_gpu:
            torch.set_num_threads(1)  # as the converter does
        dtype = getattr(torch, self._recipe.dtype) if self.on_gpu else torch.float32
        return hardware.matrix_rate(torch.device("cuda" if self.on_gpu else "cpu"), dtype)

    def _loaded(self, gains: Optimizations, recipe: Recipe | None = None) -> ImageGenerator:
        """Load the recipe's models, when those before are gone: they may fill the memory."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return ImageGenerator(recipe or self._recipe, optimizations=gains, load_models=self._load_models)

    def _flop_of(self, gains: Optimizations) -> int:
        """Return the floating-point operations of one picture, which compilation does not change."""
        plain = replace(gains, compiled=False)
        return self._flop.get(plain) or self._counted(self._loaded(plain), plain)

    def _counted(self, ours: ImageGenerator, gains: Optimizations) -> int:
        ours.resize(1)
        self._flop[gains] = hardware.count_flop(partial(ours.generate, self._requests[:1]))
        return self._flop[gains]

    def _with_gains(self, what: str, gains: Optimizations, size: int) -> Measurement:
        flop = self._flop_of(gains) if gains.compiled else None
        ours = self._loaded(gains)
        flop = flop or self._counted(ours, gains)
        measured = replace(self._ours(what, ours, size), flop=flop)
        return replace(measured, warming=None) if gains.compiled else measured  # this process has compiled it before

    def _ours(self, what: str, ours: ImageGenerator, size: int) -> Measurement:
        """Measure ours at a batch size; note where compilation or memory failed."""
        ours.resize(size)
        warming, drawings = ours.warming_seconds, list[GeneratedImage]()

        def draw() -> None:
            drawings[:] = sound(ours.generate(self._requests[:size]))

        try:
            measured = self._timed(what, size, draw, ours.device)
        except RunStoppedError as fault:
            return Measurement(what, size, note=str(fault))
        if drawings[0].batch_size < size:
            return Measurement(what, size, note=f"memory holds {drawings[0].batch_size} at once")
        note = ours.compiled.said if ours.compiled and ours.compiled.said != "yes" else ""
        return replace(measured, warming=ours.warming_seconds - warming, note=note)

    def _with_files(self, what: str, ours: ImageGenerator, size: int, *, meanwhile: bool) -> Measurement:
        """Measure two batches and their files, encoded one by one after each, or in threads while the next is drawn."""
        ours.resize(size)

        def draw() -> None:
            waiting: list[Future[bytes]] = []
            for _ in range(2):
                for drawing in sound(ours.generate(self._requests[:size])):
                    waiting.append(threads.submit(encode_pixels, np.asarray(drawing.pixels), self._recipe.output))
                    if not meanwhile:
                        waiting[-1].result()
            for each in waiting:
                each.result()

        with ThreadPoolExecutor(ENCODER_THREADS) as threads:
            return self._timed(what, size, draw, ours.device, pictures=2 * size)

    def _timed(
        self, what: str, size: int, draw: Callable[[], object], device: torch.device, pictures: int | None = None
    ) -> Measurement:
        """Time a call that draws `size` pictures, after one that warms it up."""
        hardware.reset_peak_memory(device)
        try:
            draw()
            seconds = min(_seconds(draw, device) for _ in range(self._rounds))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return Measurement(what, size, note="memory does not hold it")
        return Measurement(what, size, (pictures or size) / seconds, hardware.peak_memory(device))


def suggested(measured: Sequence[Measurement]) -> int | None:
    """Return the smallest batch size that is nearly as fast as any; None where none was drawn."""
    drawn = [each for each in measured if each.pace]
    fastest = max((each.pace or 0 for each in drawn), default=0)
    return min((each.batch_size for each in drawn if (each.pace or 0) >= NEAR * fastest), default=None)


def bench_requests(recipe: Recipe, count: int) -> list[GenerationRequest]:
    """Return requests for the first of a recipe's sizes: one photo, its edges for every net, seeds of their own."""
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        photo = np.asarray(image.convert("RGB").resize(recipe.buckets[0], Image.Resampling.LANCZOS))
    edges = cv2.cvtColor(cv2.Canny(photo, 100, 200), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    region = np.zeros(photo.shape[:2], np.bool_)
    region[: len(region) // 2] = True
    prompt, negative = (
        render_prompt(template, dict.fromkeys(template_columns(template), "a photo"), 0)
        for template in (recipe.prompt, recipe.negative_prompt)
    )
    more: dict[str, Any] = {"inpaint_region": region, "mask": region} if recipe.mode == "inpaint" else {}
    if recipe.ip_adapter:
        more["reference"] = photo
    maps = (edges,) * len(recipe.controls)
    return [GenerationRequest(photo, maps, prompt, negative, seed, **more) for seed in range(count)]


def sound(drawings: list[GeneratedImage]) -> list[GeneratedImage]:
    """Return drawings; raise `RunStoppedError` where one was drawn again: that would be measured too."""
    if any(drawing.retried or drawing.pixels is None for drawing in drawings):
        message = "pictures are not finite, or of one colour, and were drawn again: their pace says nothing"
        raise RunStoppedError(message, "Check the recipe's models; --set dtype=bfloat16 has a wider range.")
    return drawings


def _seconds(draw: Callable[[], object], device: torch.device) -> float:
    hardware.synchronize(device)
    began = time.perf_counter()
    draw()
    hardware.synchronize(device)
    return time.perf_counter() - began
