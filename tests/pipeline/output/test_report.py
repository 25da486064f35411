"""The report: counts, gallery and failures of the current rows, with escaped names."""

from pathlib import Path

from pipeline.output import plan_store
from pipeline.output.report import current_rows, read_rows, write_report
from pipeline.output.run_file import RunMetadata
from pipeline.plan import plan
from pipeline.steps.commit import Commit
from pipeline.steps.row_step import rows_to_table
from schemas.recipe import Recipe
from schemas.work import Decoded, Encoded, Failed
from tests.rows import blank_map, edit, encoded_row, failed_row_of, planned_row


def commit(output: Path, run: RunMetadata, *rows: Encoded | Failed) -> None:
    planned = plan.cut_units([row.planned for row in rows], 10)
    plan_store.write_plan(str(output), planned)
    unit = {"unit": planned["unit"][0].as_py()}
    Commit(str(output), run)(rows_to_table([edit(row, planned=unit) for row in rows], Encoded))


def test_the_page_shows_current_rows_and_escapes_names(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> None:
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    done = encoded_row(decoded, b"image", *maps, planned={"photo_id": "<script>x", "key": "1" * 64})
    broken = failed_row_of(planned_row(photo_id="broken", key="2" * 64), failure={"message": "<b>broken</b>"})
    commit(tmp_path, run, done, broken)
    assert write_report(str(tmp_path), run, {"detected": 1, "cached": 4}) == 1
    page = (tmp_path / "report" / "index.html").read_text()
    assert "1 image, 1 failed" in page
    assert "1 detected, 4 from the cache\n  (80 % hits)" in page
    assert "<script>" not in page
    assert "&lt;b&gt;broken" in page
    assert f'src="../images/{plan_store.read_plans(str(tmp_path))["unit"][0]}' in page
    # The broken photo was replaced and converted, so that its old failure is superseded.
    commit(tmp_path, run, edit(done, planned={"photo_id": "broken", "key": "3" * 64}))
    assert write_report(str(tmp_path), run, {}) == 0
    assert [row.status for row in read_rows(str(tmp_path), current_rows(str(tmp_path)))] == ["done", "done"]
