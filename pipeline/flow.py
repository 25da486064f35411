"""The way of a photo: plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit.

Each step is a function of a table of rows. One table is one unit: the rows that are computed, written and retried
together. `map_batches` gives units to the processes of a step, and Ray Data keeps all processes busy:

- fetch, decode, encode and commit are light tasks that share the cores,
- control maps run in processes that keep detectors loaded, one core each,
- convert runs in processes that keep the diffusion pipeline loaded, one for each GPU.

`pipeline.steps.chain` assembles the steps, and `pipeline.execution.pools` sizes the pools of processes. Nothing runs
before `iter_batches` asks for the first result. A row that fails passes the later steps unchanged, into its record.
"""

from collections.abc import Iterator

import pyarrow as pa
import ray
import ray.data

from pipeline.execution.pools import StepResources
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.plan.preflight import RunPlan
from pipeline.steps.chain import ChainSettings, photo_steps
from pipeline.steps.commit import Commit


def photos_to_anime(run: RunPlan, commit: Commit, resources: StepResources) -> Iterator[pa.Table]:
    """Convert the units of a run, and yield a table of `schemas.work.Committed` whenever units are written.

    Raises:
        RunStoppedError: A step raised an error that is not of one photo.
    """
    settings = ChainSettings.of(run, resources.gpu_detectors, keep_maps=commit.keep_maps)
    rows: ray.data.Dataset = ray.data.from_arrow(list(run.work.units.values()))
    for step in photo_steps(settings):
        rows = rows.map_batches(step.function, fn_constructor_kwargs=step.arguments, **resources.by_pool[step.pool])
    rows = rows.map_batches(commit, **resources.by_pool["light"])
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
