"""Convert the photos of a run with Ray Data, a library that runs steps in several processes.

    plan ─ load and fetch ─ decode ─ control maps ─ convert ─ encode ─ commit

The plan is made before Ray starts, and written to the output. It has one row for each variant of a photo, and groups
the rows into units, whose rows are recorded and retried together. Here the flow begins with a small table that has one
row for each unit: the name of the file of the plan, and the position of the unit in it.

The first step loads the rows of a unit and fetches their photos. It returns batches of up to 32 rows, and every later
step is a function that receives a batch and returns a batch. A batch is packed into one row of a table of Ray Data
(`ONE_BATCH`), so that Ray Data never divides it. `map_batches` adds a step to the description of the flow, and runs
nothing yet. When the results are read, Ray Data runs the function of each step in one or more processes, and passes the
batches between them. All steps run at the same time, on different batches:

- Load and fetch, decode, encode and commit take little CPU time, so several of them share a core: their pools are
  called `load` and `light`. With `fit: people`, decode detects people in the whole photo, and takes a whole core.
- Control maps take one core for each process. A process keeps its detectors loaded. In a run with GPUs, detectors that
  are faster on a GPU run in the next step instead.
- Convert takes one GPU for each process, or one core in a run without a GPU. A process keeps the diffusion pipeline
  loaded.

`pipeline.steps.chain` lists the steps, and `pipeline.execution.pools` sets the number of processes and their resources.

If a photo fails in a step, its row becomes a `Failed` row. The later steps return it unchanged, and commit describes it
in provenance. The caller, `pipeline.execution.results`, writes the record of a unit when all of its rows have arrived.

If a photo ends the process of a step, for example because a decoder crashes, Ray repeats the batch in another process.
After three attempts Ray Data drops the batch, and the flow continues. The caller then starts another flow with the
missing rows, one at a time. A row that ends its process there too becomes a failure. If many batches are dropped one
after the other, the flow ends, and the caller continues in the same way: with the first missing rows, one at a time,
and then with the other rows.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
import ray.data

from pipeline.execution.batches import LoadUnits, batch_class, map_one_batch, unpack_all
from pipeline.execution.lost_batches import count_lost_batches
from pipeline.execution.pools import StepResources
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.execution.stage_log import StageLog
from pipeline.execution.unit_blocks import unit_blocks
from pipeline.plan.remaining import RemainingWork
from pipeline.steps.chain import Chain, Step


def photos_to_anime(
    work: RemainingWork, chain: Chain, resources: StepResources, stages: StageLog | None = None
) -> Iterator[pa.Table]:
    """Convert the units of a run.

    Args:
        work: The units.
        chain: The steps.
        resources: The arguments of `map_batches` that set the processes of each step.
        stages: Receives the stage that each row reaches, if the rows are processed one at a time.

    Yields:
        A table of `schemas.provenance.RecordRow` rows as soon as the images of a batch are written.

    Raises:
        RunError: A step raised it. An unknown exception loses the batch.
        LostBatchesError: Many batches were lost one after the other. Not raised for rows that are processed one at a
            time.
        WorkersFailedError: The models of a step cannot be loaded.
        RunStoppedError: Ray failed.
    """
    cpus = int(ray.cluster_resources().get("CPU", 1))
    # The table of units in parts, so that several processes load at the same time. `ray.put` stores each part in Ray.
    blocks: list[Any] = [ray.put(block) for block in unit_blocks(work, cpus, together=stages is None)]
    units = ray.data.from_arrow_refs(blocks)
    units.context.max_errored_blocks = -1  # a lost batch does not end the flow, see `pipeline.execution.lost_batches`
    batches = map_one_batch(units, {"fn": LoadUnits(chain.load, stages)}, resources.by_pool["load"])
    for step in [*chain.steps, Step("commit", "light", chain.commit)]:
        step_class = batch_class(step)
        # Ray Data creates an object of a class in each process, which keeps its models, and calls it with every batch.
        with_models: dict[str, Any] = {"fn": step_class, "fn_constructor_args": (step, stages)}
        function = with_models if step.holds_models else {"fn": step_class(step, stages)}
        batches = map_one_batch(batches, function, resources.by_pool[step.pool])
    try:
        with count_lost_batches(limited=stages is None) as lost:
            # The steps start here. Without prefetching, each table is yielded at once, not when the next has arrived.
            for table in batches.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                lost.arrived()
                yield from unpack_all(table)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
