"""Steps as functions of Arrow tables: the one place that converts tables to rows and catches the errors of photos."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from pipeline.errors import PhotoError
from schemas.arrow import columns_of, columns_to_table, to_rows, to_values
from schemas.row_parts import Failure, Timing
from schemas.work import Failed, Planned


class StagedRow(Protocol):
    """A row of any stage after the plan."""

    @property
    def timing(self) -> Timing:
        """When work on the row started, and how long each stage took."""
        ...


AnyRow: TypeAlias = Planned | StagedRow
In = TypeVar("In", bound=AnyRow)
Out = TypeVar("Out", bound=StagedRow)
Staged = TypeVar("Staged", bound=StagedRow)


class TableStep(ABC, Generic[In, Out]):
    """A step as a function of a table.

    Args:
        takes: The dataclass of the rows that the step receives.
        gives: The dataclass of the rows that it returns.
    """

    def __init__(self, takes: type[In], gives: type[Out]) -> None:
        self._takes = takes
        self._gives = gives

    def __call__(self, table: pa.Table) -> pa.Table:
        """Apply the step to the rows of a table."""
        return rows_to_table(self.run(table_to_rows(table, self._takes)), self._gives)

    @abstractmethod
    def run(self, rows: Sequence[In | Failed]) -> list[Out | Failed]:
        """Apply the step to rows, in order. Failed rows pass unchanged."""


class RowStep(TableStep[In, Out]):
    """A step that is a function of one row.

    Args:
        stage: One of `schemas.row_parts.STAGES`.
        takes: The dataclass of the rows that the step receives.
        gives: The dataclass of the rows that it returns.
        step: The function. A `PhotoError` that it raises becomes a failed row.
        threads: How many rows are processed at once, for a function that releases Python's interpreter lock.
    """

    def __init__(
        self, stage: str, takes: type[In], gives: type[Out], step: Callable[[In], Out], *, threads: int = 1
    ) -> None:
        super().__init__(takes, gives)
        self._stage = stage
        self._step = step
        self._threads = threads

    def run(self, rows: Sequence[In | Failed]) -> list[Out | Failed]:
        """Apply the step to rows, in order. Failed rows pass unchanged."""
        if self._threads == 1:  # no pool: torch.set_num_threads holds for the thread that calls it
            return [self._one(row) for row in rows]
        with ThreadPoolExecutor(self._threads) as threads:
            return list(threads.map(self._one, rows))

    def _one(self, row: In | Failed) -> Out | Failed:
        # Threads measure their own CPU time, because they also wait for each other's cores.
        return apply_step(self._stage, self._step, row, clock=time.thread_time if self._threads > 1 else None)


def apply_step(
    stage: str, step: Callable[[In], Out], row: In | Failed, clock: Callable[[], float] | None = None
) -> Out | Failed:
    """Apply a step to one row, and record its seconds. A `PhotoError` becomes a failed row."""
    if isinstance(row, Failed):
        return row
    started, clock = datetime.now(UTC), clock or time.perf_counter
    begin = clock()
    try:
        result: Out | Failed = step(row)
    except PhotoError as error:
        result = failed_row(row, stage, error, started)
    return add_seconds(result, stage, clock() - begin)


def failed_row(row: AnyRow, stage: str, error: PhotoError, started: datetime | None = None) -> Failed:
    """Return the failed row of an error in a stage, with what is known of the row."""
    timing = Timing(started or datetime.now(UTC)) if isinstance(row, Planned) else row.timing
    failure = Failure(stage, type(error).__name__, error.code, str(error), error.attempts, error.retryable)
    known = {field.name: getattr(row, field.name) for field in fields(Failed) if hasattr(row, field.name)}
    planned = {"planned": row} if isinstance(row, Planned) else {}
    timing = replace(timing, attempts=error.attempts)
    return Failed(**(known | error.known | planned | {"timing": timing, "failure": failure}))


@contextmanager
def record_on_error(**known: object) -> Iterator[None]:
    """Add fields to the failed row of an error, for what a step found out before it failed."""
    try:
        yield
    except PhotoError as error:
        error.known |= known
        raise


def add_seconds(row: Staged, stage: str, seconds: float) -> Staged:
    """Return a row whose stage took so many more seconds."""
    before = row.timing.seconds
    total = round((getattr(before, stage) or 0) + seconds, 6)
    timing = replace(row.timing, seconds=replace(before, **{stage: total}))
    return replace(row, timing=timing)  # type: ignore[type-var]  # every staged row is a dataclass


def rows_to_table(rows: Sequence[Any], kind: type) -> pa.Table:
    """Return a table of rows of a stage and failed rows: the columns of both dataclasses."""
    hints = stage_columns(kind)
    columns = {name: [getattr(row, name, None) for row in rows] for name in hints}
    return columns_to_table(columns, hints)


def table_to_rows(table: pa.Table, kind: type[In]) -> list[In | Failed]:
    """Return the rows of a table that `rows_to_table` made, or of a plan."""
    if kind is Planned:
        return list(to_rows(table, kind))
    hints, own = stage_columns(kind), columns_of(kind)  # type: ignore[arg-type]  # a class can be hashed
    columns = {name: to_values(table[name], hint) for name, hint in hints.items()}
    known = list(columns_of(Failed))
    rows: list[In | Failed] = []
    for number, failure in enumerate(columns["failure"]):
        names, row = (own, kind) if failure is None else (known, Failed)
        rows.append(row(*(columns[name][number] for name in names)))
    return rows


def stage_columns(kind: type) -> dict[str, Any]:
    """Return the type hints of the columns of a stage's table by name."""
    return columns_of(Failed) | columns_of(kind)
