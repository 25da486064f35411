"""Pass batches of rows through Ray Data: a batch of a unit is one row of a Ray Data table, so that it is never split.

Ray Data divides tables between rows. Here each row holds a batch as the bytes of an Arrow IPC stream, and every
function receives one of them. Ray stores these bytes as they are. It would write each of the hundred nested arrays of a
table on its own, which took 10 ms for a batch of tiny photos.

A `RunError` of a step travels in the place of its batch, and the driver raises it. Ray would pass on its text only. Any
other exception ends the task, so that the batch is lost (see `pipeline.execution.lost_batches`).
"""

import json
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
from ray.data import Dataset
from ray.util.annotations import RayDeprecationWarning

from pipeline import errors
from pipeline.errors import RunError
from pipeline.execution.stage_log import StageLog
from pipeline.steps.chain import BatchLoader, Step, TableFunction
from pipeline.steps.gpu_worker import device_is_usable
from schemas.arrow import to_rows
from schemas.work import Unit

COLUMN = "rows"
_ERROR = b"error"  # in the metadata of a table that has an error instead of rows


def pack(rows: pa.Table) -> pa.Table:
    """Return a table with one row, which holds all rows of a table."""
    counted = pa.MockOutputStream()
    _write(rows, counted)
    content = pa.allocate_buffer(counted.size())  # one allocation, because the content may have 100 MB
    _write(rows, pa.FixedSizeBufferWriter(content))
    offsets = pa.py_buffer(np.array([0, content.size], np.int64))
    return pa.table({COLUMN: pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, content])})


def pack_error(error: RunError) -> pa.Table:
    """Return a table with one row, which holds an error instead of rows."""
    content = json.dumps({"class": type(error).__name__, "message": str(error)})
    return pack(pa.table({}).replace_schema_metadata({_ERROR: content}))


def unpack(batch: pa.Table) -> pa.Table:
    """Return the rows that `pack` put into a table. Their values are views of its memory.

    Raises:
        RunError: The table holds an error.
    """
    (column,) = (chunk for chunk in batch[COLUMN].chunks if len(chunk))
    _, offsets, content = column.buffers()  # not the scalar, which is a copy
    start, end = np.frombuffer(offsets, np.int64)[column.offset : column.offset + 2].tolist()
    rows = pa.ipc.open_stream(content.slice(start, end - start)).read_all()
    error = (rows.schema.metadata or {}).get(_ERROR)
    if error is not None:
        raise _error_of(json.loads(error))
    return rows


def _error_of(content: dict[str, str]) -> RunError:
    error_class = getattr(errors, content["class"], RunError)
    error: RunError = error_class(content["message"], "")  # the message contains the hint
    return error


def _write(rows: pa.Table, sink: object) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)


def map_one_batch(batches: Dataset, function: dict[str, Any], resources: dict[str, Any]) -> Dataset:
    """Add a function of one batch to a flow.

    Args:
        batches: The flow.
        function: The arguments of `map_batches` for the function.
        resources: The arguments of `map_batches` for its processes.
    """
    with warnings.catch_warnings():
        # Ray Data 2.60 has no other way to limit the attempts of a task, and its next releases will have one.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return batches.map_batches(**function, **resources, batch_size=1, batch_format="pyarrow")


class BatchStep:
    """Applies a step to the rows of a batch.

    Args:
        step: The step.
        stages: Receives the stage of the rows before they are processed. None if this is not needed.
    """

    def __init__(self, step: Step, stages: StageLog | None = None) -> None:
        self._step = step
        self._stages = stages

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Apply the step."""
        try:
            rows = unpack(batch)
            if self._stages is None:
                return pack(self._apply(rows))
            with self._stages.stage(self._step.stage, rows):
                return pack(self._apply(rows))
        except RunError as error:
            return pack_error(error)

    def _apply(self, rows: pa.Table) -> pa.Table:
        return self._step.function(rows)


class ModelStep(BatchStep):
    """Applies a step that holds models. Several threads may call it.

    The step itself runs in one thread, because models are not thread-safe. The other threads unpack, pack and transfer
    batches at the same time, so that a GPU does not wait for them. The first call creates the object of the step. If
    loading the models ends the process, Ray repeats the batch a limited number of times. It would restart a process
    that ends in its constructor without a limit.

    Args:
        step: The step, which is a class.
        stages: As in `BatchStep`.
    """

    def __init__(self, step: Step, stages: StageLog | None = None) -> None:
        super().__init__(step, stages)
        self._thread = ThreadPoolExecutor(1)
        self._function: TableFunction | None = None

    def _apply(self, rows: pa.Table) -> pa.Table:
        return self._thread.submit(self._run, rows).result()

    def _run(self, rows: pa.Table) -> pa.Table:
        if self._function is None:
            with self._stages.loading(self._step.name) if self._stages else nullcontext():
                self._function = self._step.create()
        try:
            return self._function(rows)
        except RunError:
            raise
        except Exception:
            if not device_is_usable():
                os._exit(1)  # every later batch would fail in this process, and Ray starts another one
            raise


def batch_class(step: Step) -> type[BatchStep]:
    """Return a subclass of `BatchStep` or `ModelStep` with the name of a step, which Ray shows in its dashboard."""
    return type(step.name.title().replace(" ", ""), (ModelStep if step.holds_models else BatchStep,), {})


class LoadUnits:
    """Loads the rows of units, one batch after the other, so that the first batch is processed while others load.

    Args:
        load: Loads the rows of one unit.
        stages: As in `BatchStep`.
    """

    def __init__(self, load: BatchLoader, stages: StageLog | None = None) -> None:
        self._load = load
        self._stages = stages

    def __call__(self, units: pa.Table) -> Iterator[pa.Table]:
        """Yield the batches of the units in a table of `Unit` rows."""
        for unit in to_rows(units, Unit):
            try:
                yield from self._batches(unit)
            except RunError as error:
                yield pack_error(error)

    def _batches(self, unit: Unit) -> Iterator[pa.Table]:
        if self._stages is None:
            yield from map(pack, self._load.batches(unit))
            return
        with self._stages.stage_of_keys("fetch", unit.keys or ()):
            yield from map(pack, self._load.batches(unit))


def unpack_all(batches: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of each batch of a table. Raises the error of a batch that has one."""
    for number in range(batches.num_rows):
        yield unpack(batches.slice(number, 1))
