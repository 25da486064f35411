"""Counts, first rows and superseded rows of an output."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedOutputError
from pipeline.output.current_rows import count_rows, current_rows, read_rows
from pipeline.output.run_file import RunMetadata
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import blank_map, edit, encoded_row, failed_row_of


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> str:
    """Write an output with three units of two rows each: p0 to p5, of which p1 and p4 failed with different errors."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    rows = [
        encoded_row(decoded, b"image", *maps, planned={"photo_id": f"p{number}", "key": f"{number}" * 64})
        for number in range(6)
    ]
    rows = [edit(row, timing={"seconds": {"fetch": float(number)}}) for number, row in enumerate(rows)]
    one, other = (failed_row_of(rows[number].planned) for number in (1, 4))
    other = edit(other, failure={"stage": "decode", "code": "photo.unreadable"})
    write_records(tmp_path, run, [rows[5], one, rows[3], rows[2], other, rows[0]], 2)
    return str(tmp_path)


def test_rows_are_counted_by_status_and_error(output: str) -> None:
    counts = count_rows(output, 2)
    assert (counts.done, counts.failed) == (4, 2)
    assert counts.errors == {("fetch", "fetch.not_found"): 1, ("decode", "photo.unreadable"): 1}
    assert counts.seconds["fetch"] == (5 + 3 + 2 + 0) / 4


def test_the_first_rows_are_sorted_by_photo_and_are_found_in_their_records(output: str) -> None:
    counts = count_rows(output, 2)
    assert [row.photo_id for row in counts.first_done] == ["p0", "p2"]
    assert [row.photo_id for row in counts.first_failed] == ["p1", "p4"]
    rows = read_rows(output, [*counts.first_done, *counts.first_failed], ["photo_id", "status"])
    assert [row["photo_id"] for row in rows] == ["p0", "p2", "p1", "p4"]
    assert [row["status"] for row in rows] == ["done", "done", "failed", "failed"]


def test_current_rows_have_all_columns(output: str) -> None:
    rows = current_rows(output, 5)
    assert [row.photo_id for row in rows] == ["p0", "p1", "p2", "p3", "p4"]
    assert (rows[0].run_id, rows[0].seconds.fetch) == ("run-1", 0.0)
    failure = rows[4].failure
    assert failure is not None
    assert failure.code == "photo.unreadable"


def test_superseded_rows_are_left_out(output: str, decoded: Decoded, recipe: Recipe) -> None:
    changed = failed_row_of(edit(decoded.planned, photo_id="p0", key="x" * 64))
    write_records(output, RunMetadata("run-2", recipe, "0.1.0", None), [changed], 2)
    counts = count_rows(output, 10)
    assert (counts.done, counts.failed) == (3, 3)
    assert current_rows(output, 1)[0].status == "failed"


def test_an_output_without_records_has_no_rows(tmp_path: Path) -> None:
    assert count_rows(str(tmp_path), 2).done == 0
    assert current_rows(str(tmp_path), 2) == []


@pytest.mark.parametrize("position", [0, -1])
def test_a_damaged_record_is_named(output: str, position: int) -> None:
    path = sorted(Path(output).glob("provenance/*.parquet"))[position]
    path.write_bytes(b"text")
    with pytest.raises(DamagedOutputError, match=path.name):
        count_rows(output, 2)
    path.unlink()
    pq.write_table(pq.read_table(max(Path(output).glob("provenance/*.parquet"))).drop(["failure"]), path)
    with pytest.raises(DamagedOutputError, match=path.name):
        count_rows(output, 2)
