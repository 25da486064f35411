"""Process the rows of lost batches again, one at a time, so that a photo that ends its process loses no other row."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from pipeline.errors import PhotoError, UnexpectedError, WorkerDiedError
from pipeline.execution.pools import TASK_ATTEMPTS
from pipeline.execution.stage_log import ReachedStage
from pipeline.plan.remaining import RemainingWork
from pipeline.steps.chain import BatchLoader, Chain
from pipeline.steps.row_step import failed_row
from schemas.arrow import to_rows, to_table
from schemas.work import Unit

MOST_ALONE = 1024  # rows that are processed one at a time before the others are tried together again


def unfinished_work(work: RemainingWork, received: Mapping[str, AbstractSet[str]], load: BatchLoader) -> RemainingWork:
    """Return the work that is left after a flow: the rows that were not received, in their units.

    Args:
        work: The work of the flow.
        received: The keys of the received rows of each unit that is incomplete.
        load: Loads the rows of the plan.

    Raises:
        DamagedOutputError: The file of the plan cannot be read.
    """
    incomplete = pa.array([unit in received for unit in work.units["unit"].to_pylist()], pa.bool_())
    units = (_missing(unit, received[unit.unit], load) for unit in to_rows(work.units.filter(incomplete), Unit))
    return replace(work, units=to_table([unit for unit in units if unit.pending], Unit))


def _missing(unit: Unit, received: AbstractSet[str], load: BatchLoader) -> Unit:
    """Return a unit without the rows that were received."""
    if not received:
        return unit
    planned = unit.keys if unit.keys is not None else [row.key for row in load.rows(unit)]
    keys = tuple(key for key in planned if key not in received)
    return replace(unit, keys=keys, pending=len(keys))


def first_rows(work: RemainingWork, load: BatchLoader, most: int = MOST_ALONE) -> RemainingWork:
    """Return the first rows of some work, each in a unit of its own.

    Raises:
        DamagedOutputError: The file of the plan cannot be read.
    """
    rows = (replace(unit, keys=(row.key,), pending=1) for unit in to_rows(work.units, Unit) for row in load.rows(unit))
    return replace(work, units=to_table(list(islice(rows, most)), Unit))


def failures(lost: RemainingWork, reached: Mapping[str, ReachedStage], chain: Chain) -> Iterator[pa.Table]:
    """Yield rows of provenance for rows that failed each time that they were processed alone.

    Args:
        lost: The work, whose units have one row each.
        reached: The last stage of each row by its key.
        chain: The steps.
    """
    for unit in to_rows(lost.units, Unit):
        for row in chain.load.rows(unit):
            stage = reached.get(row.key, ReachedStage("fetch"))
            yield chain.commit.record_failures([failed_row(row, stage.stage, _error(stage))])


def _error(reached: ReachedStage) -> PhotoError:
    """Return the error of a row. A later run may retry it, because its cause is unknown."""
    if reached.error is not None:
        return UnexpectedError(reached.error, retryable=True, attempts=1)
    return WorkerDiedError(f"process: ended {TASK_ATTEMPTS} times", retryable=True, attempts=TASK_ATTEMPTS)
