"""Measuring: photos from all over the work, each stage with a time, and failures that say nothing."""

from pathlib import Path

import pytest

from pipeline.execution import calibrate
from pipeline.plan.preflight import RunPlan, preflight
from schemas.options import Options
from schemas.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    output = str(tmp_path_factory.mktemp("calibrate") / "out")
    return preflight(str(photos), output, recipe, Options(variants=3, unit_size=3), lambda _done, _photos: None)


def test_photos_come_from_all_over_the_work_one_variant_each(run: RunPlan) -> None:
    rows = calibrate.calibration_rows(run)
    assert rows.num_rows == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["unit"].to_pylist())) == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["photo_id"].to_pylist())) == calibrate.CALIBRATION_PHOTOS


def test_every_stage_gets_its_milliseconds(run: RunPlan) -> None:
    way = run.without_rows()
    assert (way.work.rows, way.fresh.num_rows) == (0, 0)
    mapped, spent = calibrate.measure_maps(way, calibrate.calibration_rows(run), frozenset())
    assert set(spent) == {"fetch", "decode", "controls"}
    pictures = calibrate.measure_conversion(way, mapped, 1, frozenset())
    assert set(pictures) == {"convert", "encode"}
    assert all(took > 0 for took in (*spent.values(), *pictures.values()))
    assert pictures["convert"] > 3 * spent["controls"]  # a diffusion model, and an edge filter


def test_photos_that_fail_say_nothing(run: RunPlan) -> None:
    rows = calibrate.calibration_rows(run)
    lost = rows.set_column(rows.schema.get_field_index("uri"), "uri", [["/none.jpg"] * rows.num_rows])
    _, spent = calibrate.measure_maps(run.without_rows(), lost, frozenset())
    assert spent == {}
