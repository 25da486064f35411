"""Runs of the pipeline in this process, without Ray: for tests of everything that does not depend on Ray."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from pipeline import flow, run
from pipeline.execution import calibrate, cluster
from pipeline.execution.pools import PoolSizes, StepResources
from pipeline.execution.progress import RunProgress
from pipeline.plan.preflight import RunPlan
from pipeline.run import Summary
from pipeline.steps.commit import Commit
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode, decode_settings
from pipeline.steps.encode import encode_step
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.row_step import RowStep
from schemas.options import Options
from schemas.recipe import Recipe
from schemas.work import DECODED, FETCHED

Step = Callable[[pa.Table], pa.Table]
LOADED_CONVERTERS = 3
NO_POOLS = StepResources({}, {}, {}, frozenset(), PoolSizes(1, 1))


def convert_locally(
    manifest: str,
    output: str,
    recipe: Recipe,
    options: Options | None = None,
    follower: RunProgress | None = None,
) -> Summary:
    """Call `pipeline.run.convert`, with its units executed one after the other in this process, on the CPU.

    Only what starts Ray is replaced: the connection, the sizes of the pools, and the execution of the steps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "connect_ray", _no_connection)
        patch.setattr(calibrate, "plan_resources", _no_resources)
        patch.setattr(flow, "run_flow", run_units)
        return run.convert(manifest, output, recipe, options, follower)


def _no_connection(_address: str | None, *, verbose: bool = False) -> AbstractContextManager[None]:
    del verbose
    return nullcontext()


def _no_resources(_run: RunPlan, _options: Options, _follower: RunProgress) -> tuple[StepResources, dict[str, Any]]:
    return NO_POOLS, {}


def run_units(run: RunPlan, commit: Commit, _resources: StepResources) -> Iterator[pa.Table]:
    """Execute the steps of `pipeline.flow` for each unit, and yield what `commit` returns."""
    steps = chain_of_steps(run)
    for unit in run.work.units.values():
        yield commit(functools.reduce(lambda table, step: step(table), steps, unit))


def chain_of_steps(run: RunPlan) -> list[Step]:
    """Return the steps between the plan and the commit, in their order."""
    recipe = run.recipe
    steps: list[Step] = [
        RowStep("fetch", partial(fetch, allowed=run.allowed), FETCHED),
        RowStep("decode", partial(decode, **decode_settings(recipe, run.blank)), DECODED),
        ControlMaps(recipe, run.blank, cache=run.map_cache),
    ]
    if recipe.mode != "maps":
        steps += [_converter(recipe.model_dump_json()), encode_step(recipe)]
    return steps


@functools.lru_cache(LOADED_CONVERTERS)
def _converter(recipe: str) -> Step:
    """Load the models of a recipe, given as JSON because recipes are not hashable. Runs of one recipe share them."""
    import torch  # here, not above: tests of control maps need none of it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)  # images are compared byte for byte
        return GpuWorker(Recipe.model_validate_json(recipe))
