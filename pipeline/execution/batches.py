"""Pass batches of rows through Ray Data: a batch of a unit is one row of a Ray Data table, so that it is never split.

Ray Data divides tables between rows. Here each row holds a list of rows, and every function receives one of them.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.steps.chain import Step
from pipeline.steps.commit import Commit
from pipeline.steps.load import LoadUnit
from schemas.arrow import to_rows
from schemas.work import Unit

COLUMN = "rows"
ONE_BATCH: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}


def pack(rows: pa.Table) -> pa.Table:
    """Return a table with one row, which holds all rows of a table."""
    rows = rows.combine_chunks()
    columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in rows.columns]
    values = pa.StructArray.from_arrays(columns, fields=list(rows.schema))
    return pa.table({COLUMN: pa.ListArray.from_arrays([0, rows.num_rows], values)})


def unpack(batch: pa.Table) -> pa.Table:
    """Return the rows that `pack` put into a table. The columns are not copied."""
    (rows,) = (chunk for chunk in batch[COLUMN].chunks if len(chunk))
    return pa.Table.from_struct_array(rows.flatten())


class BatchStep:
    """Applies a step to the rows of a batch.

    Args:
        step: The step. If it is a class, its object is created here, in the process that calls it.
    """

    def __init__(self, step: Step) -> None:
        self._function = step.create()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Apply the step."""
        return pack(self._function(unpack(batch)))


def batch_class(step: Step) -> type[BatchStep]:
    """Return a subclass of `BatchStep` with the name of a step, which Ray shows in its dashboard."""
    return type(step.name.title().replace(" ", ""), (BatchStep,), {})


class LoadUnits:
    """Loads the rows of units, one batch after the other, so that the first batch is processed while others load.

    Args:
        load: Loads the rows of one unit.
    """

    def __init__(self, load: LoadUnit) -> None:
        self._load = load

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        """Yield the batches of the units in a table of `Unit` rows."""
        for unit in to_rows(units, Unit):
            for rows in self._load.batches(unit):
                yield pack(rows)


class CommitBatches:
    """Commits the rows of batches, and returns their rows of provenance without a batch around them.

    Args:
        commit: Writes the files of rows.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Commit the rows of a batch."""
        return self._commit(unpack(batch))
