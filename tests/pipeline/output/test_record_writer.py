"""Records are written once all rows of a unit have arrived, in any order and in any batches."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import IncompleteUnitError, LeaseLostError
from pipeline.output.lease import lease_of
from pipeline.output.provenance import done_units, read_record
from pipeline.output.record_writer import RecordWriter
from schemas.provenance import PROVENANCE


def rows(*keys: str, status: str = "done", run: str = "1") -> pa.Table:
    """Return finished rows. The first letter of a key is its unit."""
    made: list[dict[str, Any]] = [{"unit": key[0], "key": key, "status": status, "run_id": run} for key in keys]
    return pa.Table.from_pylist(made, PROVENANCE)


def keys_of(output: Path, unit: str) -> list[tuple[str, str, str]]:
    columns = read_record(str(output), unit, ["key", "status", "run_id"])
    return sorted(zip(*(column.to_pylist() for column in columns.columns), strict=True))


def test_a_record_is_written_when_all_rows_have_arrived(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path), {"a": 3, "b": 1})
    writer.add(rows("a1", "b1", "a2"))
    assert done_units(str(tmp_path)) == {"b"}
    writer.add(rows("a3"))
    assert done_units(str(tmp_path)) == {"a", "b"}
    assert [key for key, *_ in keys_of(tmp_path, "a")] == ["a1", "a2", "a3"]
    assert pq.read_table(tmp_path / "provenance" / "a.parquet").schema == PROVENANCE
    writer.finish()


def test_partial_records_of_killed_processes_are_removed(tmp_path: Path) -> None:
    partial = tmp_path / "provenance" / ".a.parquet.0123.part"
    partial.parent.mkdir()
    partial.touch()
    RecordWriter(str(tmp_path), {"a": 1})
    assert not partial.exists()


def test_no_record_is_written_without_the_lease(tmp_path: Path) -> None:
    with lease_of(str(tmp_path), "convert") as lease:
        lease.acquire()
        writer = RecordWriter(str(tmp_path), {"a": 1})
        lease._is_lost = True
        with pytest.raises(LeaseLostError):
            writer.add(rows("a1"))
    assert not done_units(str(tmp_path))


def test_missing_rows_are_an_error(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path), {"a": 2})
    writer.add(rows("a1"))
    with pytest.raises(IncompleteUnitError):
        writer.finish()
    assert not done_units(str(tmp_path))


def test_rows_that_arrive_again_are_ignored(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path), {"a": 3, "b": 1})
    assert writer.add(rows("a1", "a2")).num_rows == 2
    assert writer.add(rows("a2", "b1", status="failed"))["key"].to_pylist() == ["b1"]
    writer.add(rows("a3"))
    assert writer.add(rows("a1", "b1")).num_rows == 0
    writer.finish()
    assert [status for _, status, _ in keys_of(tmp_path, "a")] == ["done"] * 3


@pytest.mark.parametrize("received", [("a1", "a2", "a3"), ("a1", "c1")])
def test_rows_that_are_not_pending_are_an_error(tmp_path: Path, received: tuple[str, ...]) -> None:
    writer = RecordWriter(str(tmp_path), {"a": 2})
    with pytest.raises(IncompleteUnitError):
        writer.add(rows(*received))
    assert not done_units(str(tmp_path))


def test_rows_that_are_done_in_an_earlier_record_are_kept(tmp_path: Path) -> None:
    first = RecordWriter(str(tmp_path), {"a": 3})
    first.add(pa.concat_tables([rows("a1"), rows("a2", "a3", status="failed")]))
    again = RecordWriter(str(tmp_path), {"a": 2, "b": 1}, keep_done=True)
    again.add(pa.concat_tables([rows("a2", run="2"), rows("a3", status="failed", run="2"), rows("b1", run="2")]))
    assert keys_of(tmp_path, "a") == [("a1", "done", "1"), ("a2", "done", "2"), ("a3", "failed", "2")]
    assert keys_of(tmp_path, "b") == [("b1", "done", "2")]


def test_of_two_runs_on_one_unit_each_row_is_recorded_once(tmp_path: Path) -> None:
    first, retry, other = (RecordWriter(str(tmp_path), {"a": 2}, keep_done=keep) for keep in (False, True, True))
    later = RecordWriter(str(tmp_path), {"a": 2})
    first.add(pa.concat_tables([rows("a1"), rows("a2", status="failed")]))
    later.add(rows("a1", "a2", status="failed", run="1"))
    assert keys_of(tmp_path, "a") == [("a1", "done", "1"), ("a2", "failed", "1")]
    retry.add(pa.concat_tables([rows("a1", status="failed", run="2"), rows("a2", run="2")]))
    assert keys_of(tmp_path, "a") == [("a1", "done", "1"), ("a2", "done", "2")]
    other.add(rows("a1", "a2", run="3"))
    assert keys_of(tmp_path, "a") == [("a1", "done", "3"), ("a2", "done", "3")]


def test_records_are_written_to_any_file_system() -> None:
    writer = RecordWriter("memory://records", {"a": 1})
    writer.add(rows("a1"))
    assert storage.exists("memory://records/provenance/a.parquet")
