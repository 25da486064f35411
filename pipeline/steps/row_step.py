"""A step of one row as a function of a batch: the one place where a photo's faults are caught."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pipeline.errors import PhotoError
from schemas.work import STAGES, Row


class RowStep:
    """Apply `step` to each row of a batch that has not failed, note its seconds, and record a `PhotoError` as data.

    `stage` is one of `schemas.work.STAGES`; the result has the columns of `schema`, null where a row lacks them.
    `threads` is how many rows are in work at once, for a step that computes without Python's lock.
    """

    def __init__(self, stage: str, step: Callable[[Row], Row], schema: pa.Schema, threads: int = 1) -> None:
        self.stage = stage
        self._step = step
        self._schema = schema
        self._threads = threads

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return `batch` with the step done to every row."""
        return self.rows(batch.to_pylist())

    def rows(self, rows: list[Row]) -> pa.Table:
        """Return the table of `rows` with the step done to each."""
        if self._threads == 1:  # in this very thread: torch's count of threads holds for the one that set it
            return pa.Table.from_pylist([self.one(row) for row in rows], self._schema)
        with ThreadPoolExecutor(self._threads) as threads:
            return pa.Table.from_pylist(list(threads.map(self.one, rows)), self._schema)

    def one(self, row: Row) -> Row:
        """Return a row with the step done to it, or with the fault that came of it."""
        if row.get("failure"):
            return row
        clock = time.perf_counter if self._threads == 1 else time.thread_time  # not how long threads wait for cores
        began = clock()
        try:
            row = self._step(row)
        except PhotoError as fault:
            row["failure"] = failure(self.stage, fault)
            row["attempts"] = fault.attempts
        add_seconds(row, self.stage, clock() - began)
        return row


def failure(stage: str, fault: PhotoError) -> Row:
    """Return the columns of `schemas.work.FAILURE` for a fault in a stage."""
    return {
        "stage": stage,
        "error": type(fault).__name__,
        "message": " ".join(str(fault).split()),
        "attempts": fault.attempts,
        "retryable": fault.retryable,
    }


def add_seconds(row: Row, stage: str, seconds: float) -> None:
    """Note how long a stage took for a row, beside what it took before."""
    known = dict.fromkeys(STAGES) | (row.get("seconds") or {})
    row["seconds"] = known | {stage: round((known[stage] or 0) + seconds, 6)}
