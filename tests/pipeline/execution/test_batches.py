"""Batches: rows that Ray Data cannot divide, because they are one row of its tables."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from pipeline.errors import DiskFullError
from pipeline.execution.batches import BatchStep, ModelStep, batch_class, pack, unpack, unpack_all
from pipeline.images.arrays import Pixels
from pipeline.steps.chain import Step
from pipeline.steps.row_step import rows_to_table, table_to_rows
from schemas.work import Decoded
from tests.rows import failed_row_of, planned_row


def double(rows: pa.Table) -> pa.Table:
    """Return each row twice."""
    return pa.concat_tables([rows, rows])


class ThreadRecorder:
    """Returns its rows, with the identifiers of the threads that created and called it in the metadata."""

    def __init__(self) -> None:
        self._created = threading.get_ident()

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows."""
        return rows.replace_schema_metadata({"created": str(self._created), "called": str(threading.get_ident())})


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_are_packed_and_unpacked_unchanged(decoded: Decoded, count: int) -> None:
    table = rows_to_table([decoded, failed_row_of(planned_row()), decoded][:count], Decoded)
    batch = pack(table)
    assert batch.num_rows == 1
    assert unpack(batch).schema == table.schema
    assert unpack(batch).to_pylist() == table.to_pylist()


def test_pixels_are_not_copied(decoded: Decoded) -> None:
    batch = pack(rows_to_table([decoded, decoded], Decoded))

    def pixels_of(batch: pa.Table) -> Pixels:
        (row, _) = table_to_rows(unpack(batch), Decoded)
        assert isinstance(row, Decoded)
        return row.pixels

    assert pixels_of(batch).ctypes.data == pixels_of(batch).ctypes.data


def test_a_slice_of_several_batches_keeps_their_rows(decoded: Decoded) -> None:
    first, second = (rows_to_table([decoded] * count, Decoded) for count in (1, 2))
    batches = pa.concat_tables([pack(first), pack(second)])
    assert [unpack(batches.slice(number, 1)).num_rows for number in range(2)] == [1, 2]
    assert unpack(batches.combine_chunks().slice(1, 1)).num_rows == 2


def test_a_step_receives_the_rows_of_a_batch(decoded: Decoded) -> None:
    step = Step("some step", "light", double)
    assert batch_class(step).__name__ == "SomeStep"
    assert issubclass(batch_class(step), BatchStep)
    assert unpack(batch_class(step)(step)(pack(rows_to_table([decoded], Decoded)))).num_rows == 2


def test_models_are_created_and_called_in_one_thread(decoded: Decoded) -> None:
    step = Step("some model", "gpu", ThreadRecorder, {})
    assert issubclass(batch_class(step), ModelStep)
    apply, batch = batch_class(step)(step), pack(rows_to_table([decoded], Decoded))
    with ThreadPoolExecutor(4) as callers:
        results = list(callers.map(apply, [batch] * 16))
    threads = {thread for result in results for thread in unpack(result).schema.metadata.values()}
    assert len(threads) == 1
    assert str(threading.get_ident()).encode() not in threads


def test_the_batches_of_a_table_are_unpacked_one_by_one(decoded: Decoded) -> None:
    batch = pack(rows_to_table([decoded], Decoded))
    assert [rows.num_rows for rows in unpack_all(pa.concat_tables([batch, batch]))] == [1, 1]


def test_an_error_of_a_step_passes_the_later_steps_and_is_raised_with_its_class(decoded: Decoded) -> None:
    def stop(_rows: pa.Table) -> pa.Table:
        raise DiskFullError("out: no space left", "Free some.")

    failed = BatchStep(Step("first", "light", stop))(pack(rows_to_table([decoded], Decoded)))
    passed = BatchStep(Step("second", "light", double))(failed)
    with pytest.raises(DiskFullError) as caught:
        list(unpack_all(passed))
    assert str(caught.value) == "out: no space left. Free some."


def test_an_unknown_error_ends_the_task(decoded: Decoded) -> None:
    def fail(_rows: pa.Table) -> pa.Table:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        BatchStep(Step("some step", "light", fail))(pack(rows_to_table([decoded], Decoded)))
