"""One place catches a photo's faults, and nothing else."""

from threading import Barrier

import pyarrow as pa
import pytest

from pipeline.errors import FetchError
from pipeline.steps.row_step import RowStep
from schemas.work import FAILURE, SECONDS, Row

SCHEMA = pa.schema([("n", pa.int64()), ("failure", FAILURE), ("seconds", SECONDS), ("attempts", pa.int32())])


def halve(row: Row) -> Row:
    if row["n"] % 2:
        message = f"{row['n']}\nis odd"
        raise FetchError(message, retryable=True, attempts=3)
    return row | {"n": row["n"] // 2}


def test_a_fault_becomes_a_row_and_the_others_go_on() -> None:
    rows = RowStep("fetch", halve, SCHEMA)(pa.table({"n": [2, 3, 4]})).to_pylist()
    assert [row["n"] for row in rows] == [1, 3, 2]
    assert [row["failure"] for row in rows] == [
        None,
        {"stage": "fetch", "error": "FetchError", "message": "3 is odd", "attempts": 3, "retryable": True},
        None,
    ]
    assert all(row["seconds"]["fetch"] >= 0 for row in rows)


def test_a_failed_row_passes_later_steps_untouched() -> None:
    once = RowStep("fetch", halve, SCHEMA)(pa.table({"n": [3]}))
    twice = RowStep("decode", halve, SCHEMA)(once)
    assert twice.to_pylist() == once.to_pylist()


def test_an_error_that_is_no_fault_of_the_photo_is_not_caught() -> None:
    with pytest.raises(ZeroDivisionError):
        RowStep("fetch", lambda row: row | {"n": 1 // 0}, SCHEMA)(pa.table({"n": [1]}))


def test_as_many_rows_are_in_work_at_once_as_there_are_threads_and_keep_their_order() -> None:
    meeting = Barrier(3, timeout=30)  # passed by three at once, and by no fewer

    def met(row: Row) -> Row:
        meeting.wait()
        return halve(row)

    rows = RowStep("encode", met, SCHEMA, threads=3)(pa.table({"n": [2, 4, 3, 6, 8, 10]})).to_pylist()
    assert [row["n"] for row in rows] == [1, 2, 3, 3, 4, 5]
    assert [bool(row["failure"]) for row in rows] == [False, False, True, False, False, False]


def test_an_empty_unit_keeps_the_schema() -> None:
    assert RowStep("fetch", halve, SCHEMA)(pa.table({"n": pa.array([], pa.int64())})).schema == SCHEMA
