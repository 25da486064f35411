"""The calibration measures every stage for photos that are spread over the run, and omits failed photos."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.execution import calibrate
from pipeline.plan.preflight import RunPlan, preflight
from pipeline.steps.chain import ChainSettings
from schemas.options import Options
from schemas.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    output = str(tmp_path_factory.mktemp("calibrate") / "out")
    return preflight(str(photos), output, recipe, Options(variants=3, unit_size=3), lambda _listed, _photos: None)


def test_calibration_photos_are_from_different_units(run: RunPlan) -> None:
    rows = calibrate.calibration_rows(run)
    assert rows.num_rows == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["unit"].to_pylist())) == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["photo_id"].to_pylist())) == calibrate.CALIBRATION_PHOTOS


def test_calibration_photos_are_spread_over_the_run(run: RunPlan) -> None:
    units = dict(list(run.work.units.items())[:7])
    rows = calibrate.calibration_rows(replace(run, work=replace(run.work, units=units)))
    assert [list(units).index(unit) for unit in rows["unit"].to_pylist()] == [0, 1, 3, 5]


@pytest.fixture(scope="module")
def settings(run: RunPlan) -> ChainSettings:
    return ChainSettings.of(run.without_rows(), frozenset(), keep_maps=False)


def test_a_run_plan_without_rows_has_no_rows(run: RunPlan) -> None:
    assert (run.without_rows().work.rows, run.without_rows().fresh.num_rows) == (0, 0)


@pytest.mark.slow
def test_every_stage_is_measured(run: RunPlan, settings: ChainSettings) -> None:
    mapped, maps = calibrate.measure_maps(settings, calibrate.calibration_rows(run))
    assert set(maps) == {"fetch", "decode", "controls"}
    images = calibrate.measure_conversion(settings, mapped, 1)
    assert set(images) == {"convert", "encode"}
    assert all(milliseconds > 0 for milliseconds in (*maps.values(), *images.values()))


def test_failed_photos_are_not_measured(run: RunPlan, settings: ChainSettings) -> None:
    rows = calibrate.calibration_rows(run)
    missing = rows.set_column(rows.schema.get_field_index("uri"), "uri", [["/none.jpg"] * rows.num_rows])
    failed, milliseconds = calibrate.measure_maps(settings, missing)
    assert milliseconds == {}
    assert calibrate.measure_conversion(settings, failed, 1) == {}
