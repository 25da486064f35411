"""A lost plan is made again from the records, and nothing is converted twice."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import DamagedOutputError, RunStoppedError
from pipeline.output import plan_store
from pipeline.output.current_rows import current_rows
from pipeline.output.provenance import read_record, write_record
from pipeline.output.repair import repair
from pipeline.output.verify import verify
from pipeline.plan import plan
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import recipe_of
from tests.dataset import RECIPE, Dataset
from tests.local_run import RecordedProgress, convert_locally
from tests.records import read_records
from tests.test_flow import files_of

pytestmark = pytest.mark.slow
OTHER = recipe_of(CannySettings(low=10), mode="maps")


@pytest.fixture
def dataset(tmp_path: Path, photos: Path) -> Dataset:
    return Dataset(tmp_path, photos)


def test_a_finished_output_is_not_converted_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.convert(variants=2, unit_size=4)
    rows, results = dataset.plan_rows(), dataset.results()
    dataset.lose_plan()
    monkeypatch.setattr(plan, "PART_ROWS", 5)  # of 4 rows in a unit, so that each file has one unit
    progress = RecordedProgress()
    with progress.recorded_log():
        summary = convert_locally(dataset.manifest, dataset.output, RECIPE, Options(variants=2), progress)
    assert (summary.converted, summary.failed, summary.earlier) == (0, 0, 12)
    assert any(text.startswith("12 rows") for text in progress.messages)
    assert dataset.results() == results
    assert dataset.plan_rows() == rows
    (stored,) = plan_store.read_plans(dataset.output)
    assert len(stored.files) == stored.units.num_rows == 3
    dataset.check(variants=2)


@pytest.mark.parametrize("options", [{"variants": 1}, {"variants": 2, "limit": 2}])
def test_rows_beyond_the_options_of_the_run_are_recovered_completely(dataset: Dataset, options: dict[str, int]) -> None:
    dataset.convert(variants=2, unit_size=4)
    rows = dataset.plan_rows()
    dataset.lose_plan()
    assert dataset.convert(**options).converted == 0
    assert dataset.plan_rows() == rows
    dataset.check(variants=2)


def test_an_interrupted_output_is_continued(dataset: Dataset) -> None:
    dataset.interrupt(2)
    results = dataset.results()
    dataset.lose_plan()
    summary = dataset.convert(unit_size=3)
    assert (summary.converted, summary.earlier) == (4, 2)
    assert results.items() <= dataset.results().items()
    assert [each.units.num_rows for each in plan_store.read_plans(dataset.output)] == [1, 2]
    dataset.check()


def test_replaced_photos_do_not_become_current_again(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.uris |= {"p0": "p007.jpg", "p3": "p008.jpg"}
    dataset.convert()
    dataset.uris["p0"] = "p009.jpg"
    dataset.convert()
    current, results = dataset.current(), dataset.results()
    assert current["p0", 0] == ("done", str(dataset.photos / "p009.jpg"))
    dataset.lose_plan()
    assert dataset.convert().converted == 0
    assert (dataset.current(), dataset.results()) == (current, results)
    dataset.check()


def test_a_photo_that_is_replaced_after_the_loss_is_converted(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.lose_plan()
    dataset.uris["p0"] = "p007.jpg"
    assert dataset.convert().converted == 1
    assert dataset.current()["p0", 0] == ("done", str(dataset.photos / "p007.jpg"))
    dataset.check()


def test_a_photo_that_was_changed_back_is_current(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.uris["p0"] = "p007.jpg"
    dataset.convert()
    dataset.uris["p0"] = "p000.jpg"
    dataset.convert()
    current = dataset.current()
    dataset.lose_plan()
    assert dataset.convert().converted == 0
    assert dataset.current() == current
    dataset.check()


def test_a_row_that_was_superseded_before_its_conversion_is_not_current(dataset: Dataset) -> None:
    dataset.interrupt(2)
    left = sorted(dataset.uris.keys() - {row["photo_id"] for row in read_records(dataset.output)})
    old, dataset.uris[left[0]] = dataset.uris[left[0]], "p007.jpg"
    dataset.convert()
    current = dataset.current()
    dataset.lose_plan()
    removed = dataset.uris.pop(left[0])
    assert dataset.convert().converted == 0
    assert dataset.current() == current
    dataset.uris[left[0]] = removed
    dataset.check()
    dataset.uris[left[0]] = old  # changed back: its row was recorded without an image
    assert dataset.convert().converted == 1
    dataset.check()


def test_rows_that_failed_are_retried(dataset: Dataset, tmp_path: Path) -> None:
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    dataset.uris["p0"] = str(loop)
    assert dataset.convert(unit_size=2).failed == 1
    dataset.lose_plan()
    summary = dataset.convert()
    assert (summary.converted, summary.failed, summary.failed_in_all, summary.earlier) == (0, 0, 1, 6)
    loop.unlink()
    shutil.copy(dataset.photos / "p010.jpg", loop)
    retried = dataset.convert(retry_failed=True)
    assert (retried.converted, retried.failed, retried.failed_in_all) == (1, 0, 0)
    dataset.check()


def test_removed_photos_keep_their_rows_and_are_not_requested_without_their_manifest(
    dataset: Dataset, tmp_path: Path
) -> None:
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    dataset.uris["p0"] = str(loop)
    dataset.convert(unit_size=3)
    current = dataset.current()
    dataset.lose_plan()
    removed = {name: dataset.uris.pop(name) for name in ("p0", "p1")}
    assert dataset.convert().converted == 0
    assert dataset.current() == current
    assert {row["photo_id"] for row in dataset.plan_rows() if row["redacted"]} == removed.keys()
    loop.unlink()
    shutil.copy(dataset.photos / "p010.jpg", loop)
    assert dataset.convert(retry_failed=True).failed == 1
    failed = next(row for row in read_records(dataset.output) if row["photo_id"] == "p0")
    assert failed["failure"]["code"] == "fetch.credentials_missing"
    dataset.uris |= removed
    assert dataset.convert(retry_failed=True).converted == 1
    dataset.check()


def test_two_recipes_in_one_output_are_recovered(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.interrupt(4, OTHER, recipe_changed="reconvert")
    results = dataset.results()
    dataset.lose_plan()
    assert dataset.convert(OTHER).converted == 2
    assert results.items() <= dataset.results().items()
    current = {row.recipe_digest for row in current_rows(dataset.output, 99)}
    assert current == {OTHER.digest}
    dataset.check(OTHER)
    dataset.lose_plan()
    assert dataset.convert(RECIPE, recipe_changed="reconvert").converted == 0
    assert {row.recipe_digest for row in current_rows(dataset.output, 99)} == {RECIPE.digest}
    dataset.check(RECIPE)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_index_of_several_is_recovered(dataset: Dataset, lost: int) -> None:
    dataset.convert(unit_size=2)
    dataset.uris |= {"p0": "p007.jpg", "new": "p008.jpg"}
    dataset.convert()
    current, results = dataset.current(), dataset.results()
    (Path(dataset.output) / "_plan" / f"{lost:05d}.parquet").unlink()
    dataset.uris.pop("new")
    assert dataset.convert().converted == 0
    assert (dataset.current(), dataset.results()) == (current, results)
    dataset.check()


def test_a_lost_file_of_a_plan_is_recovered_without_the_folder(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    next((Path(dataset.output) / "_plan").glob("*/*.parquet")).unlink()
    with pytest.raises(DamagedOutputError, match="delete the folder _plan"):
        dataset.convert()
    dataset.lose_plan()
    assert dataset.convert().converted == 0
    dataset.check()


def test_a_damaged_index_is_an_error_until_the_folder_is_deleted(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    index = Path(dataset.output) / "_plan" / "00001.parquet"
    content = bytearray(index.read_bytes())
    content[-9] ^= 1  # in the footer
    index.write_bytes(content)
    with pytest.raises(DamagedOutputError, match="00001.parquet: .* delete the folder _plan") as caught:
        dataset.convert()
    assert caught.value.exit_code == 2
    dataset.lose_plan()
    assert dataset.convert().converted == 0
    dataset.check()


def test_a_damaged_record_without_a_plan_is_an_error_that_names_it(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.lose_plan()
    path = min((Path(dataset.output) / "provenance").iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = files_of(dataset.output)
    with pytest.raises(DamagedOutputError, match=f"{path.name}: .* or delete it"):
        dataset.convert()
    dataset.write_manifest()
    assert files_of(dataset.output) == before
    path.unlink()
    repair(dataset.output, verify(dataset.output))
    assert dataset.convert().converted == 2
    repair(dataset.output, verify(dataset.output))  # the maps of the deleted record
    dataset.check()


def test_rows_that_are_recorded_twice_are_planned_once(dataset: Dataset) -> None:
    dataset.convert(unit_size=2)
    dataset.lose_plan()
    first, second, _ = sorted(path.stem for path in (Path(dataset.output) / "provenance").iterdir())
    rows = read_record(dataset.output, first)
    number = rows.schema.get_field_index("unit")
    moved = rows.set_column(number, rows.schema.field(number), pa.array([second] * 2, pa.string()))
    write_record(dataset.output, second, pa.concat_tables([moved, read_record(dataset.output, second)]))
    write_record(dataset.output, first, pa.concat_tables([rows, rows]))
    dataset.convert()
    findings = verify(dataset.output)
    assert findings.duplicate
    assert not findings.missing
    repair(dataset.output, findings)
    assert dataset.convert().converted == 0
    dataset.check()


def test_a_run_between_two_writes_of_plans_is_continued(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.convert(unit_size=2)
    dataset.uris["p0"] = "p007.jpg"
    dataset.convert()
    dataset.uris |= {"p0": "p000.jpg", "new": "p008.jpg"}
    dataset.lose_plan()
    write, calls = plan_store.write_plan, list[int]()

    def fail_once(output: str, new: plan_store.NewPlan) -> str:
        calls.append(new.number)
        if len(calls) == 2:
            raise RunStoppedError("killed")
        return write(output, new)

    monkeypatch.setattr(plan_store, "write_plan", fail_once)
    with pytest.raises(RunStoppedError):
        dataset.convert()
    assert dataset.convert().converted == 1
    assert calls == [1, 2, 2]
    assert dataset.current()["p0", 0] == ("done", str(dataset.photos / "p000.jpg"))
    dataset.check()
