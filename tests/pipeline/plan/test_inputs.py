"""The checks of the files that a run needs: their buckets, and the detectors that must find people."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import StorageAccessError, StorageError
from pipeline.plan import inputs as module
from pipeline.plan.preflight import preflight
from schemas.detectors import CannySettings, OpenposeSettings, RtmposeSettings
from schemas.options import Options
from tests.conftest import recipe_of

RECIPE = recipe_of(CannySettings(), mode="maps")


def check(folder: Path, columns: dict[str, list[str | None]]) -> None:
    """Check a run on a manifest."""
    ids = [f"p{number}" for number in range(len(columns["uri"]))]
    pq.write_table(pa.table({"photo_id": ids, **columns}), folder / "m.parquet")
    with preflight(str(folder / "m.parquet"), str(folder / "out"), RECIPE, Options(), lambda *_: None):
        pass


@pytest.mark.usefixtures("without_credentials")
@pytest.mark.parametrize("uri", ["s3://bucket/a.jpg", "az://container/a.jpg"])
def test_a_bucket_without_credentials_is_logged_if_other_photos_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    with caplog.at_level(logging.WARNING):
        check(tmp_path, {"uri": [uri, str(tmp_path / "a.jpg")]})
    assert [uri in record.message for record in caplog.records] == [True]


@pytest.mark.usefixtures("without_credentials")
def test_a_run_whose_photos_all_need_a_bucket_without_credentials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageAccessError) as caught:
        check(tmp_path, {"uri": ["s3://bucket/a.jpg", "s3://other/b.jpg"]})
    assert caught.value.exit_code == 2
    with pytest.raises(StorageError):
        check(tmp_path, {"uri": ["/a.jpg", "az://c/b.jpg"], "canny_uri": ["s3://bucket/a.png", None]})


def test_a_bucket_that_can_be_read_is_not_logged(bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(tmp_path, {"uri": [f"{bucket}/a.jpg", f"{bucket}/b.jpg"]})
    assert not [record for record in caplog.records if record.name.startswith("photo2anime")]


def test_only_pose_detectors_up_to_the_first_required_one_find_people() -> None:
    openpose, rtmpose = OpenposeSettings(), RtmposeSettings()
    assert module._people_finders(recipe_of(openpose, rtmpose)) == []
    strict = recipe_of(openpose, rtmpose, fit="people")
    assert module._people_finders(strict) == ["openpose"]
    optional = strict.controls[0].model_copy(update={"when_missing": "blank"})
    recipe = strict.model_copy(update={"controls": (optional, *strict.controls[1:])})
    assert module._people_finders(recipe) == ["openpose", "rtmpose"]
