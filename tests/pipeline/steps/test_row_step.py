"""RowStep converts a PhotoError to a failed row, and does not catch other errors."""

from threading import Barrier

import pyarrow as pa
import pytest

from pipeline.errors import DiskFullError, FetchFailedError
from pipeline.steps.row_step import RowStep, record_on_error, rows_to_table, stage_columns, table_to_rows
from schemas.arrow import to_table
from schemas.row_parts import Failure, Source, Timing
from schemas.work import Failed, Fetched, Planned
from tests.rows import STARTED, fetched_row, planned_row


def fetch_even(row: Planned) -> Fetched:
    """Return a fetched row. Raises `FetchFailedError` if the variant is odd."""
    if row.variant % 2:
        raise FetchFailedError(f"{row.variant}\nis odd", retryable=True, attempts=3)
    return Fetched(row, Timing(STARTED, attempts=2), Source("s", 1), bytes([row.variant]), (), None, None)


def planned(*variants: int) -> pa.Table:
    return to_table([planned_row(variant=variant) for variant in variants], Planned)


def run(table: pa.Table, threads: int = 1) -> list[Fetched | Failed]:
    step = RowStep("fetch", Planned, Fetched, fetch_even, threads=threads)
    return table_to_rows(step(table), Fetched)


def test_an_error_becomes_a_failed_row_and_the_other_rows_continue() -> None:
    first, second, third = run(planned(2, 3, 4))
    assert isinstance(first, Fetched)
    assert isinstance(third, Fetched)
    assert (first.photo, third.photo) == (b"\2", b"\4")
    assert isinstance(second, Failed)
    assert second.failure == Failure("fetch", "FetchFailedError", "fetch.failed", "3 is odd", 3, retryable=True)
    assert second.planned.variant == 3
    assert [row.timing.attempts for row in (first, second, third)] == [2, 3, 2]
    assert all((row.timing.seconds.fetch or 0) >= 0 for row in (first, second, third))


def test_a_failed_row_passes_later_steps_unchanged() -> None:
    failed = RowStep("fetch", Planned, Fetched, fetch_even)(planned(3))
    passed = RowStep("decode", Fetched, Fetched, lambda row: row)(failed)
    assert passed.to_pylist() == failed.to_pylist()


def test_a_failed_row_keeps_the_results_of_earlier_steps() -> None:
    def fail(_row: Fetched) -> Fetched:
        raise FetchFailedError("later")

    table = rows_to_table([fetched_row(b"x", timing={"attempts": 2})], Fetched)
    (failed,) = table_to_rows(RowStep("decode", Fetched, Fetched, fail)(table), Fetched)
    assert isinstance(failed, Failed)
    assert (failed.timing.attempts, failed.failure.attempts) == (2, 1)
    assert (failed.source, failed.canvas, failed.failure.stage) == (Source("e" * 64, 1), None, "decode")


def test_fields_that_a_step_determined_before_an_error_are_kept() -> None:
    def fail(row: Planned) -> Fetched:
        with record_on_error(source=Source("s", 1)):
            return fetch_even(row)

    (failed,) = table_to_rows(RowStep("fetch", Planned, Fetched, fail)(planned(3)), Fetched)
    assert failed.source == Source("s", 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ZeroDivisionError("division"), "worker.unexpected_error"), (MemoryError(), "worker.out_of_memory")],
)
def test_an_unknown_error_is_the_failure_of_its_row(error: Exception, code: str) -> None:
    def fail(row: Planned) -> Fetched:
        if row.variant == 4:
            raise error
        return fetch_even(row)

    rows = table_to_rows(RowStep("fetch", Planned, Fetched, fail)(planned(2, 4, 6)), Fetched)
    failed = rows[1]
    assert isinstance(failed, Failed)
    assert (failed.failure.code, failed.failure.stage) == (code, "fetch")
    assert [isinstance(row, Failed) for row in rows] == [False, True, False]


def test_an_error_of_the_run_is_not_the_failure_of_a_row() -> None:
    def fail(_row: Planned) -> Fetched:
        raise DiskFullError("out: no space left")

    with pytest.raises(DiskFullError):
        RowStep("fetch", Planned, Fetched, fail)(planned(1))


def test_threads_process_several_rows_at_once_and_keep_their_order() -> None:
    barrier = Barrier(3, timeout=60)  # raises BrokenBarrierError unless three rows are processed at once

    def wait(row: Planned) -> Fetched:
        barrier.wait()
        return fetch_even(row)

    step = RowStep("fetch", Planned, Fetched, wait, threads=3)
    rows = table_to_rows(step(planned(2, 4, 3, 6, 8, 10)), Fetched)
    assert [row.planned.variant for row in rows] == [2, 4, 3, 6, 8, 10]
    assert [isinstance(row, Failed) for row in rows] == [False, False, True, False, False, False]


def test_an_empty_unit_becomes_a_table_with_all_columns() -> None:
    table = RowStep("fetch", Planned, Fetched, fetch_even)(planned())
    assert table.column_names == list(stage_columns(Fetched))
