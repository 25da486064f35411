"""Records: read side by side, and the failures in them that another try may mend."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import OutputError
from pipeline.output.provenance import done_units, read_record, read_records, record_uri, units_to_retry
from schemas.provenance import PROVENANCE


def write(output: Path, unit: str, *retryable: bool | None) -> None:
    """Write a record with one row for each of `retryable`; None is a row that is done."""
    rows: list[dict[str, Any]] = []
    for number, again in enumerate(retryable):
        failure = (
            None if again is None else {"stage": "fetch", "error": "FetchError", "message": "x", "retryable": again}
        )
        rows.append({"unit": unit, "photo_id": f"{unit}{number}", "failure": failure})
    path = Path(record_uri(str(output), unit))
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, PROVENANCE), path)


def test_units_are_those_with_a_whole_record(tmp_path: Path) -> None:
    assert done_units(str(tmp_path)) == set()
    write(tmp_path, "a", None)
    (tmp_path / "provenance" / ".b.parquet.0123.part").write_bytes(b"half")
    assert done_units(str(tmp_path)) == {"a"}


def test_records_are_read_whole_or_by_columns(tmp_path: Path) -> None:
    write(tmp_path, "a", None, None)
    write(tmp_path, "b", None)
    assert read_records(str(tmp_path), ["b", "a"])["photo_id"].to_pylist() == ["a0", "a1", "b0"]
    assert read_records(str(tmp_path), [], ["unit"]).schema.names == ["unit"]


def test_units_to_retry_hold_a_passing_failure(tmp_path: Path) -> None:
    write(tmp_path, "done", None)
    write(tmp_path, "hopeless", None, False)
    write(tmp_path, "passing", False, True)
    assert units_to_retry(str(tmp_path), ["done", "hopeless", "passing"]) == {"passing"}


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a", None)
    Path(record_uri(str(tmp_path), "a")).write_bytes(b"text")
    with pytest.raises(OutputError, match=r"a\.parquet is no record.*--repair"):
        read_record(str(tmp_path), "a")
    pq.write_table(pa.table({"x": [1]}), record_uri(str(tmp_path), "a"))
    with pytest.raises(OutputError, match="is no record"):
        read_record(str(tmp_path), "a")
