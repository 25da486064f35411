"""The steps of a photo in their order, assembled in one place for the flow, the preview, the calibration and the bench.

    fetch ─ decode ─ control maps ─ convert ─ encode

A step is a function of a table of rows. Two of the steps hold models, so they are classes that each process creates
once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from pipeline.plan.preflight import RunPlan
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode_step
from pipeline.steps.encode import ENCODER_THREADS, encode_function
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.row_step import RowStep
from schemas.recipe import Recipe
from schemas.work import Converted, Decoded, Encoded, Fetched, Planned

TableFunction: TypeAlias = Callable[[pa.Table], pa.Table]
Pool: TypeAlias = Literal["light", "decode", "control_maps", "gpu"]
"""What a step needs: `light` steps wait or take little, the others take a core or a GPU."""


@dataclass(frozen=True)
class Step:
    """A step of the chain: a function of a table, or a class that creates one.

    Attributes:
        name: The name of the step.
        pool: What the step needs.
        function: The function, or the class that holds models.
        arguments: The arguments of the class, which each process creates once. None for a function.
    """

    name: str
    pool: Pool
    function: Callable[..., Any]
    arguments: dict[str, Any] | None = None

    def create(self) -> TableFunction:
        """Return the function of the step in this process. A class loads its models."""
        created: TableFunction = self.function if self.arguments is None else self.function(**self.arguments)
        return created


@dataclass(frozen=True)
class ChainSettings:
    """What decides the steps of a run.

    Attributes:
        recipe: The recipe.
        allowed: Schemes that the manifest may name, see `pipeline.steps.fetch.fetch`.
        blank: Detectors whose weights are missing and whose maps are black.
        gpu_detectors: Detectors that run in the GPU worker.
        map_cache: Address of a folder of control maps.
        compile_cache: Address of a folder of compiled models.
        keep_maps: Whether the pixels of the control maps are needed after the conversion.
    """

    recipe: Recipe
    allowed: frozenset[str]
    blank: frozenset[str] = frozenset()
    gpu_detectors: frozenset[str] = frozenset()
    map_cache: str | None = None
    compile_cache: str | None = None
    keep_maps: bool = False

    @classmethod
    def of(cls, run: RunPlan, gpu_detectors: frozenset[str], *, keep_maps: bool) -> "ChainSettings":
        """Return the settings of a run that passed its checks."""
        return cls(
            run.recipe, run.allowed, run.blank, gpu_detectors, run.map_cache, run.compile_cache, keep_maps=keep_maps
        )

    def without_map_cache(self) -> "ChainSettings":
        """Return the settings of a chain that detects every map."""
        return replace(self, map_cache=None)


def photo_steps(settings: ChainSettings) -> list[Step]:
    """Return the steps from a planned row to an encoded one; of mode maps, to a row with control maps."""
    recipe, blank, on_gpu = settings.recipe, settings.blank, settings.gpu_detectors
    maps = {"recipe": recipe, "blank": blank, "deferred": on_gpu, "cache": settings.map_cache}
    images = {
        "recipe": recipe,
        "gpu_detectors": on_gpu,
        "cache": settings.map_cache,
        "compile_cache": settings.compile_cache,
        "keep_maps": settings.keep_maps,
    }
    decode_pool: Pool = "decode" if recipe.fit == "people" else "light"  # finding people takes a core
    steps = [
        Step("fetch", "light", RowStep("fetch", Planned, Fetched, partial(fetch, allowed=settings.allowed))),
        Step("decode", decode_pool, RowStep("decode", Fetched, Decoded, decode_step(recipe, blank))),
        Step("control maps", "control_maps", ControlMaps, maps),
    ]
    if on_gpu or recipe.mode != "maps":
        steps.append(Step("convert", "gpu", GpuWorker, images))
    if recipe.mode != "maps":
        encode = RowStep("encode", Converted, Encoded, encode_function(recipe), threads=ENCODER_THREADS)
        steps.append(Step("encode", "light", encode))
    return steps
