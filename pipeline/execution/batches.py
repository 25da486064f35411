"""Pass batches of rows through Ray Data: a batch of a unit is one row of a Ray Data table, so that it is never split.

Ray Data divides tables between rows. Here each row holds a batch as the bytes of an Arrow IPC stream, and every
function receives one of them. Ray stores these bytes as they are. It would write each of the hundred nested arrays of a
table on its own, which took 10 ms for a batch of tiny photos.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.steps.chain import BatchLoader, Step, TableFunction
from schemas.arrow import to_rows
from schemas.work import Unit

COLUMN = "rows"
ONE_BATCH: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}


def pack(rows: pa.Table) -> pa.Table:
    """Return a table with one row, which holds all rows of a table."""
    counted = pa.MockOutputStream()
    _write(rows, counted)
    content = pa.allocate_buffer(counted.size())  # one allocation, because the content may have 100 MB
    _write(rows, pa.FixedSizeBufferWriter(content))
    offsets = pa.py_buffer(np.array([0, content.size], np.int64))
    return pa.table({COLUMN: pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, content])})


def unpack(batch: pa.Table) -> pa.Table:
    """Return the rows that `pack` put into a table. Their values are views of its memory."""
    (column,) = (chunk for chunk in batch[COLUMN].chunks if len(chunk))
    _, offsets, content = column.buffers()  # not the scalar, which is a copy
    start, end = np.frombuffer(offsets, np.int64)[column.offset : column.offset + 2].tolist()
    return pa.ipc.open_stream(content.slice(start, end - start)).read_all()


def _write(rows: pa.Table, sink: object) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)


class BatchStep:
    """Applies a step to the rows of a batch.

    Args:
        step: The step, which is a function.
    """

    def __init__(self, step: Step) -> None:
        self._function = step.create()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Apply the step."""
        return pack(self._apply(unpack(batch)))

    def _apply(self, rows: pa.Table) -> pa.Table:
        return self._function(rows)


class ModelStep(BatchStep):
    """Applies a step that holds models. Several threads may call it.

    The step itself runs in one thread, because models are not thread-safe. The other threads unpack, pack and transfer
    batches at the same time, so that a GPU does not wait for them.

    Args:
        step: The step, which is a class. Its object is created here, in the process that calls it.
    """

    def __init__(self, step: Step) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._function = self._thread.submit(step.create).result()

    def _apply(self, rows: pa.Table) -> pa.Table:
        return self._thread.submit(self._function, rows).result()


def batch_class(step: Step) -> type[BatchStep]:
    """Return a subclass of `BatchStep` or `ModelStep` with the name of a step, which Ray shows in its dashboard."""
    return type(step.name.title().replace(" ", ""), (ModelStep if step.holds_models else BatchStep,), {})


class LoadUnits:
    """Loads the rows of units, one batch after the other, so that the first batch is processed while others load.

    Args:
        load: Loads the rows of one unit.
    """

    def __init__(self, load: BatchLoader) -> None:
        self._load = load

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        """Yield the batches of the units in a table of `Unit` rows."""
        for unit in to_rows(units, Unit):
            for rows in self._load.batches(unit):
                yield pack(rows)


class CommitBatches:
    """Commits the rows of batches, and returns batches of their rows of provenance.

    Args:
        commit: Writes the files of rows.
    """

    def __init__(self, commit: TableFunction) -> None:
        self._commit = commit

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Commit the rows of a batch."""
        return pack(self._commit(unpack(batch)))


def unpack_all(batches: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of each batch of a table."""
    for number in range(batches.num_rows):
        yield unpack(batches.slice(number, 1))
