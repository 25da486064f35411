"""Convert the photos of a run with Ray Data, a library that runs steps in several processes.

    plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit

The plan is made before Ray starts. It has one row for each variant of a photo, and groups the rows into units. The rows
of a unit are computed, written and retried together.

Every later step is a function that receives an Arrow table of rows and returns another table. A table contains one
unit, or several complete units. (On a GPU, convert may receive a unit in two tables.) `map_batches` adds a step. Ray
Data runs the function of each step in one or more processes, and passes the tables between them. All steps run at the
same time, on different units:

- Fetch, decode, encode and commit take little CPU time, so several of them share a core. With `fit: people`, decode
  detects people in the whole photo, and takes a whole core.
- Control maps take one core for each process. A process keeps its detectors loaded. In a run with GPUs, detectors that
  are faster on a GPU run in the next step instead.
- Convert takes one GPU for each process, or one core in a run without a GPU. A process keeps the diffusion pipeline
  loaded.

`pipeline.steps.chain` lists the steps, and `pipeline.execution.pools` sets the number of processes and their resources.

If a photo fails in a step, its row becomes a `Failed` row. The later steps return it unchanged, and commit records it.
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
    """Convert the units of a run.

    Args:
        run: The run, whose `work.units` are tables of planned rows.
        commit: The last step, which writes the units.
        resources: The arguments of `map_batches` that set the processes of each step.

    Yields:
        A table of `schemas.work.Committed` rows as soon as its units are written.

    Raises:
        RunStoppedError: A step raised an error that is not a `PhotoError`, or Ray failed.
    """
    settings = ChainSettings.of(run, resources.gpu_detectors, keep_maps=commit.keep_maps)
    rows: ray.data.Dataset = ray.data.from_arrow(list(run.work.units.values()))
    for step in photo_steps(settings):
        # If a step is a class, each process creates one object of it and calls this object with every table.
        rows = rows.map_batches(step.function, fn_constructor_kwargs=step.arguments, **resources.by_pool[step.pool])
    rows = rows.map_batches(commit, **resources.by_pool["light"])
    try:
        # The steps start here. With prefetching, Ray Data would hold back a table until the next one is written.
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
