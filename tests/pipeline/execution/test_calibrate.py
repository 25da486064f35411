"""The calibration measures every stage for photos that are spread over the run, and omits failed photos."""

from collections.abc import Iterator
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
def run(photos: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunPlan]:
    output = str(tmp_path_factory.mktemp("calibrate") / "out")
    options = Options(variants=3, unit_size=3)
    with preflight(str(photos), output, recipe, options, lambda _listed, _photos: None) as plan:
        yield plan


def test_calibration_photos_are_from_different_units(run: RunPlan) -> None:
    rows = calibrate.calibration_rows(run)
    assert rows.num_rows == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["unit"].to_pylist())) == calibrate.CALIBRATION_PHOTOS
    assert len(set(rows["photo_id"].to_pylist())) == calibrate.CALIBRATION_PHOTOS


def test_calibration_photos_are_spread_over_the_run(run: RunPlan) -> None:
    units = run.work.units.slice(0, 7)
    rows = calibrate.calibration_rows(replace(run, work=replace(run.work, units=units)))
    assert [units["unit"].to_pylist().index(unit) for unit in rows["unit"].to_pylist()] == [0, 1, 3, 5]


@pytest.fixture(scope="module")
def settings(run: RunPlan) -> ChainSettings:
    return ChainSettings.of(run, frozenset(), keep_maps=False)


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
