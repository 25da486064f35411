"""Runs on an output whose plan changes: two runs at once, and photos that were replaced or removed."""

import shutil
from pathlib import Path

import pytest

from pipeline import run, storage
from pipeline.errors import RunStoppedError
from pipeline.output import plan_store
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import verify
from pipeline.plan.preflight import RunPlan, preflight
from pipeline.plan.remaining import RemainingWork
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import RecordedProgress, convert_locally
from tests.records import read_records
from tests.test_flow import Interruption

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """Return a folder of four photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        shutil.copy2(photos / f"p{number:03d}.jpg", folder)
    return folder


def interrupt(folder: Path, output: str, recipe: Recipe) -> None:
    """Convert the first unit of two photos."""
    with pytest.raises(RunStoppedError):
        convert_locally(str(folder), output, recipe, Options(unit_size=2), Interruption())


def test_of_two_runs_that_plan_at_once_one_plans_again(
    folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write_start = str(tmp_path / "out"), run._write_start

    def lose_the_race(planned: RunPlan, metadata: RunMetadata, address: str) -> RemainingWork:
        """Let another run with other units write its plan first."""
        if not plan_store.read_plans(output):
            with preflight(str(folder), output, recipe, Options(unit_size=1), RecordedProgress().listing) as other:
                write_start(other, metadata, output)
        return write_start(planned, metadata, address)

    monkeypatch.setattr(run, "_write_start", lose_the_race)
    assert convert_locally(str(folder), output, recipe, Options(unit_size=2)).converted == 4
    assert [plan.units.num_rows for plan in plan_store.read_plans(output)] == [4]
    assert len(read_records(output)) == 4
    assert verify(output).valid


def test_removed_photos_are_reported_until_they_are_dropped(
    folder: Path, photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    interrupt(folder, output, recipe)
    left = {path.name for path in folder.iterdir()} - {row["photo_id"] for row in read_records(output)}
    for name in left:
        (folder / name).unlink()
    (folder / "new.jpg").write_text("no image")
    progress = RecordedProgress()
    with progress.recorded_log():
        summary = convert_locally(str(folder), output, recipe, Options(), progress)
    assert (summary.converted, summary.failed, summary.earlier) == (0, 1, 2)
    assert any("--removed-photos" in text for text in progress.messages)
    assert len(verify(output).missing) == 2
    (folder / "new.jpg").unlink()  # a failed photo is dropped too
    dropped = convert_locally(str(folder), output, recipe, Options(removed_photos="drop"))
    assert (dropped.converted, dropped.failed_in_all) == (0, 0)
    assert verify(output).valid
    assert convert_locally(str(folder), output, recipe).failed_in_all == 0
    for name in left:
        shutil.copy2(photos / name, folder)
    assert convert_locally(str(folder), output, recipe).converted == 2
    assert verify(output).valid


def test_a_replaced_photo_is_converted_once_and_its_old_row_is_no_failure(
    folder: Path, photos: Path, recipe: Recipe, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    interrupt(folder, output, recipe)
    left = sorted({path.name for path in folder.iterdir()} - {row["photo_id"] for row in read_records(output)})
    shutil.copy2(photos / "p009.jpg", folder / left[0])
    progress = RecordedProgress()
    summary = convert_locally(str(folder), output, recipe, Options(max_failure_rate=0), progress)
    assert (summary.converted, summary.failed, summary.failed_in_all) == (2, 0, 0)
    assert progress.counts[-1] == (3, 0)
    assert verify(output).valid
    rows = [row for row in read_records(output) if row["photo_id"] == left[0]]
    assert sorted(row["status"] for row in rows) == ["done", "failed"]
    again = convert_locally(str(folder), output, recipe, Options(retry_failed=True))
    assert (again.converted, again.failed, again.earlier) == (0, 0, 4)
    assert len(storage.names(f"{output}/provenance")) == 3
    shutil.copy2(photos / left[0], folder)  # changed back: its row was recorded without an image
    back = convert_locally(str(folder), output, recipe)
    assert (back.converted, back.failed_in_all) == (1, 0)
    assert [row["status"] for row in read_records(output) if row["photo_id"] == left[0]] == ["done", "done"]
    assert verify(output).valid
    assert convert_locally(str(folder), output, recipe).converted == 0
