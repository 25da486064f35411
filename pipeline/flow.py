"""The way of a photo: plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit.

Each step takes a table of rows and returns one with more columns (`schemas.work`). One table is one unit: the photos
that are computed, written and retried together. `map_batches` hands it to a process of the step's own, and Ray Data
keeps all of them busy (`pipeline.execution.pools` says how many there are): light steps where a core waits, control
maps where detectors stay loaded, and `GpuWorker`, the converter, one for each GPU, with the detectors that gain from
it; what it has drawn is encoded, in threads, while it draws the next unit. Nothing runs before `iter_batches` asks. A
row that fails carries its failure through the later steps, untouched, into its record.
"""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import ray
import ray.data

from pipeline.execution.pools import StepResources
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.plan.preflight import RunPlan
from pipeline.steps.commit import Commit
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode, decode_settings
from pipeline.steps.encode import encode_step
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.row_step import RowStep
from schemas.work import DECODED, FETCHED


def photos_to_anime(run: RunPlan, commit: Commit, crew: StepResources) -> Iterator[pa.Table]:
    """Convert the units that a run has to do; yield a table of `schemas.work.COMMITTED` whenever some are written."""
    recipe, blank, cache = run.recipe, run.blank, run.map_cache
    drawing = (recipe, crew.on_gpu, cache, run.compile_cache)
    decoders = crew.light | ({"num_cpus": 1} if recipe.fit == "people" else {})  # finding people takes a core
    rows = (
        ray.data.from_arrow(list(run.work.units.values()))
        .map_batches(RowStep("fetch", partial(fetch, allowed=run.allowed), FETCHED), **crew.light)
        .map_batches(RowStep("decode", partial(decode, **decode_settings(recipe, blank)), DECODED), **decoders)
        .map_batches(ControlMaps, fn_constructor_args=(recipe, blank, crew.on_gpu, cache), **crew.control_maps)
    )
    if crew.on_gpu or recipe.mode != "maps":
        rows = rows.map_batches(GpuWorker, fn_constructor_args=drawing, **crew.converters)
    if recipe.mode != "maps":
        rows = rows.map_batches(encode_step(recipe), **crew.light)
    rows = rows.map_batches(commit, **crew.light)
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def run_flow(prepared: RunPlan, commit: Commit, crew: StepResources) -> Iterator[pa.Table]:
    """Yield what was committed, unit by unit. Raises `RunStoppedError` for whatever ends the work early."""
    try:
        yield from photos_to_anime(prepared, commit, crew)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
