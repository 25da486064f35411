"""Runs of the pipeline in this process, without Ray: for tests of everything that does not depend on Ray."""

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyarrow as pa
import pytest

from pipeline import flow, run
from pipeline.execution import calibrate, cluster
from pipeline.execution.pools import PoolSizes, StepResources
from pipeline.execution.progress import RunProgress
from pipeline.plan.preflight import RunPlan
from pipeline.run import Summary
from pipeline.steps.chain import ChainSettings, Step, TableFunction, photo_steps
from pipeline.steps.commit import Commit
from schemas.options import Options
from schemas.recipe import Recipe

NO_RESOURCES = StepResources({}, frozenset(), PoolSizes(1, 1))
_loaded: dict[str, TableFunction] = {}
"""Converters with their models, by their arguments. Runs of one recipe share them."""


def convert_locally(
    manifest: str,
    output: str,
    recipe: Recipe,
    options: Options | None = None,
    progress: RunProgress | None = None,
) -> Summary:
    """Call `pipeline.run.convert`, with its units converted one after the other in this process, on the CPU.

    Only what starts Ray is replaced: the connection, the sizes of the pools, and the execution of the steps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "connect_ray", _no_connection)
        patch.setattr(calibrate, "plan_resources", _no_resources)
        patch.setattr(flow, "photos_to_anime", convert_units)
        return run.convert(manifest, output, recipe, options, progress)


def _no_connection(_address: str | None, *, verbose: bool = False) -> AbstractContextManager[None]:
    del verbose
    return nullcontext()


def _no_resources(_run: RunPlan, _options: Options, _progress: RunProgress) -> tuple[StepResources, dict[str, Any]]:
    return NO_RESOURCES, {}


def convert_units(run: RunPlan, commit: Commit, _resources: StepResources) -> Iterator[pa.Table]:
    """Convert the units of a run, and yield what `commit` returns for each."""
    settings = ChainSettings.of(run, frozenset(), keep_maps=commit.keep_maps)
    functions = [_converter(step) if step.pool == "gpu" else step.create() for step in photo_steps(settings)]
    for unit in run.work.units.values():
        yield commit(functools.reduce(lambda table, function: function(table), functions, unit))


def _converter(step: Step) -> TableFunction:
    """Return the function of the step that converts. Images are compared byte for byte, so it runs on the CPU."""
    import torch  # here, not above: tests of control maps do not need it

    key = repr(step.arguments)
    if key not in _loaded:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            _loaded[key] = step.create()
    return _loaded[key]
