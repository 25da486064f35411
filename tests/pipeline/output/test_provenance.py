"""Reading provenance records, and the units with retryable failures."""

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedOutputError, DiskFullError
from pipeline.output.provenance import (
    SEARCHED,
    damage_reported,
    done_units,
    open_records,
    read_record,
    record_uri,
    units_to_retry,
    write_record,
)
from pipeline.storage.database import open_database
from schemas.provenance import PROVENANCE


def write(output: Path | str, unit: str, *retryable: bool | None) -> None:
    """Write a record with one row for each value: None for a done row, else whether its failure is retryable."""
    rows: list[dict[str, Any]] = []
    for number, value in enumerate(retryable):
        failure = {"stage": "fetch", "error": "FetchError", "message": "x", "retryable": value}
        status = {"status": "done", "failure": None} if value is None else {"status": "failed", "failure": failure}
        rows.append({"unit": unit, "photo_id": f"{unit}{number}", "key": f"{unit}{number}", **status})
    write_record(str(output), unit, pa.Table.from_pylist(rows, PROVENANCE))


def test_a_partial_file_is_not_a_record(tmp_path: Path) -> None:
    assert done_units(str(tmp_path)) == set()
    write(tmp_path, "a", None)
    (tmp_path / "provenance" / ".b.parquet.0123.part").write_bytes(b"partial")
    assert done_units(str(tmp_path)) == {"a"}


def test_a_record_is_read_with_all_or_some_columns(tmp_path: Path) -> None:
    write(tmp_path, "a", None, None)
    assert read_record(str(tmp_path), "a").schema == PROVENANCE
    assert read_record(str(tmp_path), "a", ["unit", "photo_id"]).to_pylist() == [
        {"unit": "a", "photo_id": "a0"},
        {"unit": "a", "photo_id": "a1"},
    ]


def test_a_record_keeps_the_smallest_and_largest_values_of_searched_columns_only(tmp_path: Path) -> None:
    write(tmp_path, "a", None, None)
    (group,) = (pq.read_metadata(record_uri(str(tmp_path), "a")).row_group(0),)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert {column.path_in_schema for column in columns if column.is_stats_set} == set(SEARCHED)
    assert set(SEARCHED) <= set(PROVENANCE.names)


def test_units_to_retry_have_a_retryable_failure(tmp_path: Path) -> None:
    write(tmp_path, "failed", True, True)
    write(tmp_path, "done", None)
    write(tmp_path, "permanent", None, False)
    write(tmp_path, "transient", None, False, True)
    with open_database() as database:
        database.run("CREATE TABLE superseded (key VARCHAR)")
        found = units_to_retry(str(tmp_path), ["done", "permanent", "transient", "failed"], database)
        assert found == {"transient": ["transient1", "transient2"], "failed": None}
        assert units_to_retry(str(tmp_path), [], database) == {}


def test_a_file_that_is_not_a_record_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", None)
    Path(record_uri(str(tmp_path), "a")).write_bytes(b"text")
    with pytest.raises(DamagedOutputError, match="a.parquet: "):
        read_record(str(tmp_path), "a")
    with open_database() as database, pytest.raises(DamagedOutputError, match="a.parquet"):
        units_to_retry(str(tmp_path), ["a"], database)
    pq.write_table(pa.table({"x": [1]}), record_uri(str(tmp_path), "a"))
    with pytest.raises(DamagedOutputError, match="a.parquet: "):
        read_record(str(tmp_path), "a")


def test_a_full_disk_of_copied_records_is_not_a_damaged_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write("memory://copied", "a", None)
    monkeypatch.setattr(Path, "write_bytes", fail)
    with open_database() as database, pytest.raises(DiskFullError), damage_reported():
        open_records("memory://copied", ["a"], database)
