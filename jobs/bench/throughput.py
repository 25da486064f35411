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
from jobs.bench.diffusers_baseline import Tutorial
from pipeline.diffusion.adaptive_batch_size import out_of_memory
from pipeline.diffusion.generator import Diffusion, plain_because
from pipeline.diffusion.load import Loaded, load
from pipeline.diffusion.optimizations import NONE, Gains
from pipeline.diffusion.request import Drawing, Request
from pipeline.errors import StoppedFault
from pipeline.recipes.prompts import prompt_of
from pipeline.steps.encode import THREADS, encoded
from schemas.prompt import template_columns
from schemas.recipe import Recipe

GAINS = {
    "leave_out_nets": "silent nets are not run",
    "embed_maps_once": "maps are embedded once",
    "encode_together": "photos are encoded together",
    "keep_prompts": "prompts are encoded once",
    "travel_as_bytes": "bytes to the device and back",
    "channels_last": "channels last",
    "fuse_projections": "fused projections",
    "compiled": "compiled",
}
"""How a table calls `pipeline.diffusion.optimizations.Gains`, in the order in which they are switched on."""
NEAR = 0.97  # of the fastest batch size's pace: a smaller batch that comes so near is preferred
Load = Callable[[Recipe, torch.dtype, Gains], Loaded]


@dataclass(frozen=True)
class Measured:
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

    def __init__(self, recipe: Recipe, sizes: Sequence[int], rounds: int, load_models: Load = load) -> None:
        self._recipe, self._sizes, self._rounds = recipe, sorted(set(sizes)), rounds
        self._load_models = load_models
        self.on_gpu = torch.cuda.is_available()
        self._compiled = plain_because(recipe, on_gpu=self.on_gpu) is None
        self._requests = requests_for(recipe, self._sizes[-1])
        self._flop: dict[Gains, int] = {}  # of one picture

    def plain(self) -> Iterator[Measured]:
        """Yield diffusers' own calls: a tutorial's, and one for each batch size."""
        plain = self._recipe.model_copy(update={"deep_cache": 1})
        ours = self._loaded(NONE, plain)
        tutorial = Tutorial(ours, plain)
        flop = hardware.flop(partial(tutorial.batch, self._requests[:1]))
        draw: Callable[[], object] = partial(tutorial.one, self._requests[0])
        yield replace(self._timed("a tutorial's call, PIL in and out", 1, draw, ours.device), flop=flop)
        for size in self._sizes:
            draw = partial(tutorial.batch, self._requests[:size])
            yield replace(self._timed("diffusers with a batch", size, draw, ours.device), flop=flop)

    def sizes(self) -> Iterator[Measured]:
        """Yield ours with all gains at every batch size."""
        gains = Gains(compiled=self._compiled)
        flop = self._flop_of(gains) if self._compiled else None
        ours = self._loaded(gains)
        flop = flop or self._counted(ours, gains)
        for size in self._sizes:
            yield replace(self._ours("ours", ours, size), flop=flop)

    def gains(self, size: int) -> Iterator[Measured]:
        """Yield ours at one batch size without any gain, then with one more each time, and then with its files."""
        gains = NONE
        yield self._with_gains("ours without gains", gains, size)
        for gain, what in GAINS.items():
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

    def _loaded(self, gains: Gains, recipe: Recipe | None = None) -> Diffusion:
        """Load the recipe's models, when those before are gone: they may fill the memory."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Diffusion(recipe or self._recipe, gains=gains, load_models=self._load_models)

    def _flop_of(self, gains: Gains) -> int:
        """Return the floating-point operations of one picture, which compilation does not change."""
        plain = replace(gains, compiled=False)
        return self._flop.get(plain) or self._counted(self._loaded(plain), plain)

    def _counted(self, ours: Diffusion, gains: Gains) -> int:
        ours.resize(1)
        self._flop[gains] = hardware.flop(partial(ours.draw, self._requests[:1]))
        return self._flop[gains]

    def _with_gains(self, what: str, gains: Gains, size: int) -> Measured:
        flop = self._flop_of(gains) if gains.compiled else None
        ours = self._loaded(gains)
        flop = flop or self._counted(ours, gains)
        measured = replace(self._ours(what, ours, size), flop=flop)
        return replace(measured, warming=None) if gains.compiled else measured  # this process has compiled it before

    def _ours(self, what: str, ours: Diffusion, size: int) -> Measured:
        """Measure ours at a batch size; note where compilation or memory failed."""
        ours.resize(size)
        warming, drawings = ours.warming_seconds, list[Drawing]()

        def draw() -> None:
            drawings[:] = sound(ours.draw(self._requests[:size]))

        try:
            measured = self._timed(what, size, draw, ours.device)
        except StoppedFault as fault:
            return Measured(what, size, note=str(fault))
        if drawings[0].batch_size < size:
            return Measured(what, size, note=f"memory holds {drawings[0].batch_size} at once")
        note = ours.compiled.said if ours.compiled and ours.compiled.said != "yes" else ""
        return replace(measured, warming=ours.warming_seconds - warming, note=note)

    def _with_files(self, what: str, ours: Diffusion, size: int, *, meanwhile: bool) -> Measured:
        """Measure two batches and their files, encoded one by one after each, or in threads while the next is drawn."""
        ours.resize(size)

        def draw() -> None:
            waiting: list[Future[bytes]] = []
            for _ in range(2):
                for drawing in sound(ours.draw(self._requests[:size])):
                    waiting.append(threads.submit(encoded, np.asarray(drawing.pixels), self._recipe.output))
                    if not meanwhile:
                        waiting[-1].result()
            for each in waiting:
                each.result()

        with ThreadPoolExecutor(THREADS) as threads:
            return self._timed(what, size, draw, ours.device, pictures=2 * size)

    def _timed(
        self, what: str, size: int, draw: Callable[[], object], device: torch.device, pictures: int | None = None
    ) -> Measured:
        """Time a call that draws `size` pictures, after one that warms it up."""
        hardware.forget_peak(device)
        try:
            draw()
            seconds = min(_seconds(draw, device) for _ in range(self._rounds))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return Measured(what, size, note="memory does not hold it")
        return Measured(what, size, (pictures or size) / seconds, hardware.peak(device))


def suggested(measured: Sequence[Measured]) -> int | None:
    """Return the smallest batch size that is nearly as fast as any; None where none was drawn."""
    drawn = [each for each in measured if each.pace]
    fastest = max((each.pace or 0 for each in drawn), default=0)
    return min((each.batch_size for each in drawn if (each.pace or 0) >= NEAR * fastest), default=None)


def requests_for(recipe: Recipe, count: int) -> list[Request]:
    """Return requests for the first of a recipe's sizes: one photo, its edges for every net, seeds of their own."""
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        photo = np.asarray(image.convert("RGB").resize(recipe.buckets[0], Image.Resampling.LANCZOS))
    edges = cv2.cvtColor(cv2.Canny(photo, 100, 200), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    region = np.zeros(photo.shape[:2], np.bool_)
    region[: len(region) // 2] = True
    prompt, negative = (
        prompt_of(template, dict.fromkeys(template_columns(template), "a photo"), 0)
        for template in (recipe.prompt, recipe.negative_prompt)
    )
    more: dict[str, Any] = {"region": region, "covered": region} if recipe.mode == "inpaint" else {}
    if recipe.ip_adapter:
        more["reference"] = photo
    maps = (edges,) * len(recipe.controls)
    return [Request(photo, maps, prompt, negative, seed, **more) for seed in range(count)]


def sound(drawings: list[Drawing]) -> list[Drawing]:
    """Return drawings; raise `StoppedFault` where one was drawn again: that would be measured too."""
    if any(drawing.retried or drawing.pixels is None for drawing in drawings):
        message = "pictures are not finite, or of one colour, and were drawn again: their pace says nothing"
        raise StoppedFault(message, "Check the recipe's models; --set dtype=bfloat16 has a wider range.")
    return drawings


def _seconds(draw: Callable[[], object], device: torch.device) -> float:
    hardware.wait(device)
    began = time.perf_counter()
    draw()
    hardware.wait(device)
    return time.perf_counter() - began
