"""The report: counts, gallery and failures of the current rows, with escaped names."""

from pathlib import Path

from pipeline.output.report import write_report
from pipeline.output.run_file import RunMetadata
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import blank_map, edit, encoded_row, failed_row_of, planned_row


def test_the_page_shows_current_rows_and_escapes_names(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> None:
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    done = encoded_row(decoded, b"image", *maps, planned={"photo_id": "<script>x", "key": "1" * 64})
    broken = failed_row_of(planned_row(photo_id="broken", key="2" * 64), failure={"message": "<b>broken</b>"})
    unit, _ = write_records(tmp_path, run, [done, broken], 10)
    assert write_report(str(tmp_path), run, {"detected": 1, "cached": 4}) == 1
    page = (tmp_path / "report" / "index.html").read_text()
    assert "1 image, 1 failed" in page
    assert "1 detected, 4 from the cache\n  (80 % hits)" in page
    assert "<script>" not in page
    assert "&lt;b&gt;broken" in page
    assert "fetch.not_found in stage fetch" in page
    assert f'src="../images/{unit}/' in page
    # The broken photo was replaced and converted, so that its old failure is superseded.
    write_records(tmp_path, run, [edit(done, planned={"photo_id": "broken", "key": "3" * 64})], 10)
    assert write_report(str(tmp_path), run, {}) == 0
    assert "2 images, 0 failed" in (tmp_path / "report" / "index.html").read_text()


def test_an_output_without_records_has_a_report(tmp_path: Path, recipe: Recipe) -> None:
    assert write_report(str(tmp_path), RunMetadata("run-1", recipe, "0.1.0", None), {}) == 0
    assert "0 images, 0 failed" in (tmp_path / "report" / "index.html").read_text()
