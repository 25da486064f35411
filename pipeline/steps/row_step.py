"""Base classes of steps. They convert Arrow tables to rows and back, and turn the errors of photos into failed rows."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from pipeline.errors import PhotoError, PhotoMemoryError, RunError, UnexpectedError, describe_exception, shorten
from pipeline.storage import redact_message
from schemas.arrow import columns_of, columns_to_table, to_rows, to_values
from schemas.row_parts import Failure, Timing
from schemas.work import Failed, Planned


class StagedRow(Protocol):
    """A row after the plan, of any stage."""

    @property
    def planned(self) -> Planned:
        """The row of the plan."""
        ...

    @property
    def timing(self) -> Timing:
        """The start of the work on the row, and the seconds of each stage."""
        ...


LONGEST_MESSAGE = 2000  # characters of the message of a failure, which may quote the answer of a server

AnyRow: TypeAlias = Planned | StagedRow
In = TypeVar("In", bound=AnyRow)
Out = TypeVar("Out", bound=StagedRow)
Staged = TypeVar("Staged", bound=StagedRow)


class TableStep(ABC, Generic[In, Out]):
    """A step that receives a table and returns a table. A subclass implements `run` for the rows.

    Args:
        input_type: The dataclass of the rows that the step receives.
        output_type: The dataclass of the rows that the step returns.
    """

    def __init__(self, input_type: type[In], output_type: type[Out]) -> None:
        self._input_type = input_type
        self._output_type = output_type

    def __call__(self, table: pa.Table) -> pa.Table:
        """Apply the step to the rows of a table."""
        return rows_to_table(self.run(table_to_rows(table, self._input_type)), self._output_type)

    @abstractmethod
    def run(self, rows: Sequence[In | Failed]) -> list[Out | Failed]:
        """Apply the step to rows, in order. Failed rows pass unchanged."""


class RowStep(TableStep[In, Out]):
    """A step that applies a function to each row.

    Args:
        stage: One of `schemas.row_parts.STAGES`.
        input_type: The dataclass of the rows that the step receives.
        output_type: The dataclass of the rows that the step returns.
        step: The function. If it raises a `PhotoError`, the row becomes a failed row.
        threads: The number of rows to process at once. Above 1 only for functions that release the GIL.
        waits: Whether the function mostly waits, so that its wall time is recorded with any number of threads.
    """

    def __init__(
        self,
        stage: str,
        input_type: type[In],
        output_type: type[Out],
        step: Callable[[In], Out],
        *,
        threads: int = 1,
        waits: bool = False,
    ) -> None:
        super().__init__(input_type, output_type)
        self._stage = stage
        self._step = step
        self._threads = threads
        # With several threads, the wall time of a row includes waiting for a free core.
        self._clock = time.thread_time if threads > 1 and not waits else None

    def run(self, rows: Sequence[In | Failed]) -> list[Out | Failed]:
        """Apply the step to rows, in order. Failed rows pass unchanged."""
        if self._threads == 1:
            # Without a thread pool, because torch.set_num_threads affects only the thread that calls it.
            return [self._apply(row) for row in rows]
        with ThreadPoolExecutor(self._threads) as threads:
            return list(threads.map(self._apply, rows))

    def _apply(self, row: In | Failed) -> Out | Failed:
        return apply_step(self._stage, self._step, row, clock=self._clock)


def apply_step(
    stage: str, step: Callable[[In], Out], row: In | Failed, clock: Callable[[], float] | None = None
) -> Out | Failed:
    """Apply the function of a step to one row.

    Args:
        stage: One of `schemas.row_parts.STAGES`.
        step: The function.
        row: The row. A failed row is returned unchanged.
        clock: Returns seconds. Defaults to the wall clock.

    Returns:
        The result of the function, or a failed row if it raised a `PhotoError` or an unknown exception. Its `timing`
        includes this stage.

    Raises:
        RunError: The function raised it, because no other row can be processed either.
    """
    if isinstance(row, Failed):
        return row
    started, clock = datetime.now(UTC), clock or time.perf_counter
    begin = clock()
    try:
        result: Out | Failed = step(row)
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - an unknown error of one photo must not end the run
        result = failed_row(row, stage, photo_error(error), started)
    return add_seconds(result, stage, clock() - begin)


def photo_error(error: Exception) -> PhotoError:
    """Return the error of a photo for an exception that a step raised while it processed the row of the photo."""
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, MemoryError):
        return PhotoMemoryError("process: no memory left", retryable=True)  # on another machine
    return UnexpectedError(describe_exception(error))


def failed_row(row: AnyRow, stage: str, error: PhotoError, started: datetime | None = None) -> Failed:
    """Return a failed row for an error in a stage.

    It has the fields of `Failed` that the row already has, and those that `record_on_error` stored in the error.
    """
    timing = Timing(started or datetime.now(UTC), error.attempts) if isinstance(row, Planned) else row.timing
    text = redact_message(str(error), *_addresses(row if isinstance(row, Planned) else row.planned))
    message = shorten(text, LONGEST_MESSAGE)
    failure = Failure(stage, type(error).__name__, error.code, message, error.attempts, error.retryable)
    results = {field.name: getattr(row, field.name) for field in fields(Failed) if hasattr(row, field.name)}
    planned = {"planned": row} if isinstance(row, Planned) else {}
    return Failed(**({"timing": timing} | results | error.known | planned | {"failure": failure}))


def _addresses(row: Planned) -> list[str | None]:
    """Return all addresses of a row, whose secrets no message may contain."""
    return [row.uri, row.mask_uri, row.reference_uri, *(file.uri for file in row.map_uris or ())]


@contextmanager
def record_on_error(**known: object) -> Iterator[None]:
    """If the block raises a `PhotoError`, store fields in the error, which `failed_row` copies to the failed row."""
    try:
        yield
    except PhotoError as error:
        error.known |= known
        raise


def add_seconds(row: Staged, stage: str, seconds: float) -> Staged:
    """Return a copy of a row, with `seconds` added to the seconds of a stage."""
    before = row.timing.seconds
    total = round((getattr(before, stage) or 0) + seconds, 6)
    timing = replace(row.timing, seconds=replace(before, **{stage: total}))
    return replace(row, timing=timing)  # type: ignore[type-var]  # every staged row is a dataclass


def rows_to_table(rows: Sequence[Any], kind: type) -> pa.Table:
    """Convert rows to a table, with the columns of `kind` and of `Failed`.

    Args:
        rows: Rows of the dataclass `kind`, and failed rows.
        kind: The dataclass of the rows of a stage.
    """
    hints = stage_columns(kind)
    columns = {name: [getattr(row, name, None) for row in rows] for name in hints}
    return columns_to_table(columns, hints)


def table_to_rows(table: pa.Table, kind: type[In]) -> list[In | Failed]:
    """Return the rows of a table that `rows_to_table` made. A table of `Planned` rows has no failed rows."""
    if kind is Planned:
        return list(to_rows(table, kind))
    hints, stage_names = stage_columns(kind), columns_of(kind)  # type: ignore[arg-type]  # a class can be hashed
    columns = {name: to_values(table[name], hint) for name, hint in hints.items()}
    failed_names = list(columns_of(Failed))
    rows: list[In | Failed] = []
    for index, failure in enumerate(columns["failure"]):
        names, row_type = (stage_names, kind) if failure is None else (failed_names, Failed)
        rows.append(row_type(*(columns[name][index] for name in names)))
    return rows


def stage_columns(kind: type) -> dict[str, Any]:
    """Return the type hint of each column in the table of a stage."""
    return columns_of(Failed) | columns_of(kind)
