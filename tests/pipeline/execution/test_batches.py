"""Batches: rows that Ray Data cannot divide, because they are one row of its tables."""

import pyarrow as pa
import pytest

from pipeline.execution.batches import BatchStep, CommitBatches, batch_class, pack, unpack
from pipeline.images.arrays import Pixels
from pipeline.steps.chain import Step
from pipeline.steps.row_step import rows_to_table, table_to_rows
from schemas.work import Decoded
from tests.rows import failed_row_of, planned_row


def double(rows: pa.Table) -> pa.Table:
    """Return each row twice."""
    return pa.concat_tables([rows, rows])


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


def test_commit_returns_rows_without_a_batch(decoded: Decoded) -> None:
    table = rows_to_table([decoded], Decoded)
    assert CommitBatches(double)(pack(table)).num_rows == 2
