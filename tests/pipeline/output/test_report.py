"""The report: counts, gallery and failures of the current rows, with escaped names."""

from pathlib import Path

import pyarrow as pa

from pipeline.output import plan_store
from pipeline.output.report import current_units, read_rows, write_report
from pipeline.output.run_file import RunMetadata
from pipeline.plan import plan
from pipeline.steps.commit import Commit
from schemas.recipe import Recipe
from schemas.work import ENCODED, Row


def commit(output: Path, run: RunMetadata, rows: list[Row]) -> None:
    planned = plan.cut_units([{**row, "uri": None} for row in rows], 10)
    plan_store.write_plan(str(output), planned)
    unit = planned["unit"][0].as_py()
    Commit(str(output), run)(pa.Table.from_pylist([row | {"unit": unit} for row in rows], ENCODED))


def test_the_page_shows_current_rows_and_escapes_names(tmp_path: Path, decoded: Row, recipe: Recipe) -> None:
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    failure = {"stage": "decode", "error": "ImageError", "message": "<b>broken</b>", "retryable": False}
    done = decoded | {"photo_id": "<script>x", "key": "1" * 64, "picture_bytes": b"image"}
    broken = decoded | {"photo_id": "broken", "key": "2" * 64, "failure": failure}
    commit(tmp_path, run, [done, broken])
    assert write_report(str(tmp_path), run, {"detected": 1, "cached": 4}) == 1
    page = (tmp_path / "report" / "index.html").read_text()
    assert "1 image, 1 failed" in page
    assert "1 detected, 4 from the cache\n  (80 % hits)" in page
    assert "<script>" not in page
    assert "&lt;b&gt;broken" in page
    assert f'src="../images/{plan_store.read_plans(str(tmp_path))["unit"][0]}' in page
    # The broken photo was replaced and converted, so that its old failure is superseded.
    commit(tmp_path, run, [broken | {"key": "3" * 64, "failure": None, "picture_bytes": b"image"}])
    assert write_report(str(tmp_path), run, {}) == 0
    assert [row["status"] for row in read_rows(str(tmp_path), current_units(str(tmp_path)))] == ["done", "done"]
