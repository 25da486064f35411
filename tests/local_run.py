"""Runs of the pipeline in this process, without Ray: for tests of everything that does not depend on Ray."""

import functools
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pyarrow as pa
import pytest

from pipeline import flow, run
from pipeline.execution import cluster, pools
from pipeline.execution.pools import PoolSizes, StepResources
from pipeline.execution.progress import RunProgress
from pipeline.execution.stage_log import StageLog
from pipeline.execution.unit_blocks import unit_blocks
from pipeline.plan.preflight import RunPlan
from pipeline.plan.remaining import RemainingWork
from pipeline.run import Summary
from pipeline.steps.chain import Chain, Step, TableFunction
from pipeline.steps.gpu_worker import GpuWorker
from schemas.arrow import to_rows
from schemas.options import Options
from schemas.recipe import Recipe
from schemas.work import Unit

LOADED_CONVERTERS = 3
NO_POOLS = StepResources({}, frozenset(), PoolSizes(1, 1))


def convert_locally(
    manifest: str,
    output: str,
    recipe: Recipe,
    options: Options | None = None,
    progress: RunProgress | None = None,
) -> Summary:
    """Call `pipeline.run.convert`, with its units executed one after the other in this process, on the CPU.

    Only what starts Ray is replaced: the connection, the sizes of the pools, and the execution of the steps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "connect_ray", _no_connection)
        patch.setattr(pools, "plan_resources", _no_resources)
        patch.setattr(flow, "photos_to_anime", run_units)
        return run.convert(manifest, output, recipe, options, progress)


class RecordedProgress(RunProgress):
    """Records the counts of a run and the messages of its log."""

    def __init__(self) -> None:
        self.begun = False
        self.counts: list[tuple[int, int]] = []
        self.messages: list[str] = []

    def begin(self, images: int) -> None:
        self.begun = images > 0

    def advance(self, done: int, failed: int) -> None:
        self.counts.append((done, failed))

    @contextmanager
    def recorded_log(self) -> Iterator[None]:
        """Record the messages of the logger `photo2anime`."""
        logger, handler = logging.getLogger("photo2anime"), logging.Handler()
        handler.emit = lambda record: self.messages.append(record.getMessage())  # type: ignore[method-assign]
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


def _no_connection(*_settings: object, verbose: bool = False) -> AbstractContextManager[None]:
    del verbose
    return nullcontext()


def _no_resources(_run: RunPlan, _options: Options) -> StepResources:
    return NO_POOLS


def run_units(
    work: RemainingWork, chain: Chain, _resources: StepResources, _stages: StageLog | None = None
) -> Iterator[pa.Table]:
    """Execute the steps of `pipeline.flow` for each unit, and yield what `commit` returns."""
    steps = [_load(step) for step in chain.steps]
    for block in unit_blocks(work, 1):
        for unit in to_rows(block, Unit):
            for rows in chain.load.batches(unit):
                yield chain.commit(functools.reduce(lambda table, step: step(table), steps, rows))


def _load(step: Step) -> TableFunction:
    """Return the function of a step. Runs of one recipe share the models of its converter."""
    if step.name != "convert" or step.arguments is None:
        return step.create()
    return _converter(step.arguments["recipe"].model_dump_json(), keep_maps=step.arguments["keep_maps"])


@functools.lru_cache(LOADED_CONVERTERS)
def _converter(recipe: str, *, keep_maps: bool) -> TableFunction:
    """Load the models of a recipe, given as JSON because recipes are not hashable."""
    import torch  # imported here because tests of control maps do not need it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)  # images are compared byte for byte
        return GpuWorker(Recipe.model_validate_json(recipe), keep_maps=keep_maps)
