"""The way of a photo: plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit.

Each step takes a table of rows and returns one with more columns (`schemas.work`). One table is one unit: the photos
that are computed, written and retried together. `map_batches` hands it to a process of the step's own, and Ray Data
keeps all of them busy (`pipeline.execution.pools` says how many there are): light steps where a core waits, control
maps where detectors stay loaded, and `Draw`, the converter, one for each GPU, with the detectors that gain from it;
what it has drawn is encoded, in threads, while it draws the next unit. Nothing runs before `iter_batches` asks. A row
that fails carries its failure through the later steps, untouched, into its record.
"""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import ray
import ray.data

from pipeline.execution.pools import Crew
from pipeline.execution.ray_errors import stopped
from pipeline.plan.preflight import Prepared
from pipeline.steps.commit import Commit
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode, decoding
from pipeline.steps.encode import encoder
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import Draw
from pipeline.steps.row_step import Each
from schemas.work import DECODED, FETCHED


def photos_to_anime(run: Prepared, commit: Commit, crew: Crew) -> Iterator[pa.Table]:
    """Convert the units that a run has to do; yield a table of `schemas.work.COMMITTED` whenever some are written."""
    recipe, blank, cache = run.recipe, run.blank, run.map_cache
    drawing = (recipe, crew.on_gpu, cache, run.compile_cache)
    decoders = crew.light | ({"num_cpus": 1} if recipe.fit == "people" else {})  # finding people takes a core
    rows = (
        ray.data.from_arrow(list(run.work.units.values()))
        .map_batches(Each("fetch", partial(fetch, allowed=run.allowed), FETCHED), **crew.light)
        .map_batches(Each("decode", partial(decode, **decoding(recipe, blank)), DECODED), **decoders)
        .map_batches(ControlMaps, fn_constructor_args=(recipe, blank, crew.on_gpu, cache), **crew.control_maps)
    )
    if crew.on_gpu or recipe.mode != "maps":
        rows = rows.map_batches(Draw, fn_constructor_args=drawing, **crew.converters)
    if recipe.mode != "maps":
        rows = rows.map_batches(encoder(recipe), **crew.light)
    rows = rows.map_batches(commit, **crew.light)
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def flowing(prepared: Prepared, commit: Commit, crew: Crew) -> Iterator[pa.Table]:
    """Yield what was committed, unit by unit. Raises `StoppedFault` for whatever ends the work early."""
    try:
        yield from photos_to_anime(prepared, commit, crew)
    except ray.exceptions.RayError as error:
        raise stopped(error) from error
