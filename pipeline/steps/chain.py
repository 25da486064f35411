"""The steps between the plan and commit, in order. Runs, previews and benchmarks use them.

    load and fetch ─ decode ─ control maps ─ convert ─ encode

A step is a function that receives a table of rows and returns another table. Control maps and convert are classes,
because they hold models: each process creates one object and calls it with every table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pyarrow as pa

from pipeline.recipes.prompts import PROMPT_COLUMNS, PromptRenderer
from pipeline.steps.commit import Commit
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode_step
from pipeline.steps.encode import ENCODER_THREADS, encode_function
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.load import SMALL_BYTES, LoadUnit
from pipeline.steps.row_step import RowStep
from pipeline.storage.limits import Access
from schemas.recipe import Recipe
from schemas.work import Converted, Decoded, Encoded, Failed, Fetched, Planned, Unit

if TYPE_CHECKING:
    from pipeline.plan.preflight import RunPlan  # imported here only, because workers do not need its libraries

TableFunction: TypeAlias = Callable[[pa.Table], pa.Table]
Pool: TypeAlias = Literal["load", "light", "decode", "control_maps", "gpu"]
"""The processes that run a step.

`load` and `light` take a part of a core, `decode` and `control_maps` one core, and `gpu` a GPU, or else one core.
`load` and `decode` have the memory for large photos.
"""


@dataclass(frozen=True)
class Step:
    """A step of the chain: a function of a table, or a class whose objects are such functions.

    Attributes:
        name: The name of the step.
        pool: The processes that run the step.
        function: The function or the class.
        arguments: The keyword arguments of the class. None for a function.
    """

    name: str
    pool: Pool
    function: Callable[..., Any]
    arguments: dict[str, Any] | None = None

    @property
    def stage(self) -> str:
        """The stage of the step, one of `schemas.row_parts.STAGES`."""
        return "controls" if self.name == "control maps" else self.name

    @property
    def holds_models(self) -> bool:
        """Whether the step is a class, whose objects keep models loaded."""
        return self.arguments is not None

    def create(self) -> TableFunction:
        """Return the function of the step for this process. If the step is a class, this creates an object of it."""
        function: TableFunction = self.function if self.arguments is None else self.function(**self.arguments)
        return function


@dataclass(frozen=True)
class ChainSettings:
    """The settings of the steps of a run.

    Attributes:
        recipe: The recipe.
        access: What the manifest may name, and the limits for reading its files.
        blank: Detectors whose weights are missing and whose maps are black.
        gpu_detectors: Detectors that run in the convert step instead of the control maps step.
        map_cache: Address of a folder of control maps.
        compile_cache: Address of a folder of compiled models.
        keep_maps: Whether the pixels of the control maps are needed after the convert step.
        prompt_columns: The columns of the manifest that prompts may name.
    """

    recipe: Recipe
    access: Access
    blank: frozenset[str] = frozenset()
    gpu_detectors: frozenset[str] = frozenset()
    map_cache: str | None = None
    compile_cache: str | None = None
    keep_maps: bool = False
    prompt_columns: tuple[str, ...] = ("photo_id", *PROMPT_COLUMNS)

    @classmethod
    def of(cls, run: "RunPlan", gpu_detectors: frozenset[str], *, keep_maps: bool) -> "ChainSettings":
        """Return the settings of a run that passed its checks."""
        caches = run.map_cache, run.compile_cache
        return cls(run.recipe, run.access, run.blank, gpu_detectors, *caches, keep_maps, tuple(run.prompt_columns))

    @property
    def renderer(self) -> PromptRenderer:
        """The renderer of the prompts."""
        return PromptRenderer(self.recipe, self.prompt_columns)

    def without_map_cache(self) -> "ChainSettings":
        """Return these settings without the cache of control maps, so that no map is read from it."""
        return replace(self, map_cache=None)


class BatchLoader(Protocol):
    """Loads the rows of units. Runs use `pipeline.steps.load.LoadUnit`."""

    def rows(self, unit: Unit) -> list[Planned]:
        """Return the rows of a unit that are to be processed."""
        ...

    def batches(self, unit: Unit) -> Iterator[pa.Table]:
        """Yield tables with the rows of a unit."""
        ...


class Committer(Protocol):
    """Writes the images of rows. Runs use `pipeline.steps.commit.Commit`."""

    output: str

    def __call__(self, table: pa.Table) -> pa.Table:
        """Write the images of the rows in a table, and return their rows of provenance."""
        ...

    def record_failures(self, rows: Sequence[Failed]) -> pa.Table:
        """Return the rows of provenance of failed rows."""
        ...


@dataclass(frozen=True)
class Chain:
    """All steps of a run.

    Attributes:
        load: Loads the rows of a unit, and fetches their photos.
        steps: The steps from the bytes of photos to encoded images.
        commit: Writes the images, and returns rows of provenance.
    """

    load: BatchLoader
    steps: list[Step]
    commit: Committer


def fetch_step(access: Access) -> RowStep[Planned, Fetched]:
    """Return the step that fetches the photos of `Planned` rows."""
    return RowStep("fetch", Planned, Fetched, partial(fetch, access=access), threads=access.threads, waits=True)


def run_chain(settings: ChainSettings, commit: Commit) -> Chain:
    """Return all steps of a run.

    Args:
        settings: The settings of the steps.
        commit: The last step.
    """
    access, small = settings.access, min(settings.access.limits.max_bytes, SMALL_BYTES)
    fetch_small = fetch_step(replace(access, limits=replace(access.limits, max_bytes=small)))
    fetch_large = None if small == access.limits.max_bytes else fetch_step(access)
    load = LoadUnit(commit.output, settings.renderer, fetch_small, fetch_large)
    return Chain(load, photo_steps(settings), commit)


def photo_steps(settings: ChainSettings) -> list[Step]:
    """Return the steps after fetch, in order.

    The first step receives `Fetched` rows. The last step returns `Encoded` rows, or `Mapped` rows in mode maps.
    """
    recipe, blank, on_gpu = settings.recipe, settings.blank, settings.gpu_detectors
    max_pixels = settings.access.max_pixels
    map_arguments = {
        "recipe": recipe,
        "blank": blank,
        "deferred": on_gpu,
        "cache": settings.map_cache,
        "max_pixels": max_pixels,
    }
    convert_arguments = {
        "recipe": recipe,
        "gpu_detectors": on_gpu,
        "cache": settings.map_cache,
        "compile_cache": settings.compile_cache,
        "keep_maps": settings.keep_maps,
        "max_pixels": max_pixels,
    }
    decode = decode_step(recipe, blank, max_pixels)
    decode_pool: Pool = "decode" if recipe.fit == "people" else "load"  # detecting people takes a whole core
    steps = [
        Step("decode", decode_pool, RowStep("decode", Fetched, Decoded, decode)),
        Step("control maps", "control_maps", ControlMaps, map_arguments),
    ]
    if on_gpu or recipe.mode != "maps":
        steps.append(Step("convert", "gpu", GpuWorker, convert_arguments))
    if recipe.mode != "maps":
        encode = RowStep("encode", Converted, Encoded, encode_function(recipe), threads=ENCODER_THREADS)
        steps.append(Step("encode", "light", encode))
    return steps
