"""Before work: all that must hold is checked, and nothing is written."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import ManifestError, ModelError, OutputError, RecipeError, RunError
from pipeline.plan import preflight as module
from pipeline.plan.preflight import RunPlan, preflight
from pipeline.recipes.load import load_recipe
from pipeline.steps.decode import decode_settings
from schemas.options import Options
from schemas.recipe import Recipe


def prepared(manifest: Path | str, output: Path | str, recipe: Recipe, **options: object) -> RunPlan:
    return preflight(str(manifest), str(output), recipe, Options.model_validate(options), lambda _done, _photos: None)


def test_the_work_is_planned_and_nothing_is_written(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    found = prepared(photos, tmp_path / "out", recipe, variants=2, limit=5)
    assert (found.work.rows, found.fresh.num_rows) == (10, 10)
    assert found.listed is not None
    assert found.blank == {"openpose", "depth"}
    assert not (tmp_path / "out").exists()


def test_a_local_manifest_may_name_local_files_and_no_other_may(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    assert "file" in prepared(photos, tmp_path, recipe).allowed
    storage.put_table("memory://prepare/m.parquet", pa.table({"photo_id": ["a"], "uri": ["/a.jpg"]}))
    remote = prepared("memory://prepare/m.parquet", tmp_path, recipe).allowed
    assert "file" not in remote
    assert {"memory", "s3"} <= remote
    assert "file" in prepared("memory://prepare/m.parquet", tmp_path, recipe, allow={"file"}).allowed


def test_maps_that_the_manifest_brings_need_no_weights(tmp_path: Path) -> None:
    strict = load_recipe("demo", ["controls.depth.when_missing=fail"])
    columns = {"photo_id": ["a", "b"], "uri": ["/a.jpg", "/b.jpg"]}
    storage.put_table(str(tmp_path / "all.parquet"), pa.table({**columns, "depth_uri": ["/a.png", "/b.png"]}))
    storage.put_table(str(tmp_path / "some.parquet"), pa.table({**columns, "depth_uri": ["/a.png", None]}))
    assert prepared(tmp_path / "all.parquet", tmp_path / "out", strict).blank == {"openpose"}
    with pytest.raises(ModelError, match="Depth-Anything"):
        prepared(tmp_path / "some.parquet", tmp_path / "out", strict)


def test_an_ip_adapter_without_any_reference_is_refused_and_the_recipes_own_is_found_from_everywhere(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adapted(**adapter: str) -> Recipe:
        return Recipe.model_validate(recipe.model_dump() | {"ip_adapter": adapter})

    with pytest.raises(RecipeError, match="its ip_adapter has no reference, and the manifest no reference_uri"):
        prepared(photos, tmp_path / "out", adapted())
    monkeypatch.setattr(module.checks, "check_models", lambda *_: frozenset())
    monkeypatch.chdir(tmp_path)
    found = prepared(photos, tmp_path / "out", adapted(reference="style.png")).recipe
    assert found.ip_adapter is not None
    assert found.ip_adapter.reference == str(tmp_path / "style.png")
    columns = {"photo_id": ["a", "b"], "uri": ["/a.jpg", "/b.jpg"], "reference_uri": ["/s.png", None]}
    storage.put_table(str(tmp_path / "some.parquet"), pa.table(columns))
    assert prepared(tmp_path / "some.parquet", tmp_path / "out", adapted()).work.rows == 2


def test_inpainting_without_any_mask_is_refused(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="mode inpaint paints what the manifest's mask_uri covers, and it has none"):
        prepared(photos, tmp_path / "out", recipe.model_copy(update={"mode": "inpaint"}))


def test_a_full_disk_is_said_before_work(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(OutputError, match="12 pictures may need 0.0 GB|are free"):
        prepared(photos, tmp_path / "out" / "deeper", recipe)


@pytest.mark.parametrize(
    ("manifest", "fault", "said"),
    [
        ("/none.parquet", ManifestError, "not found"),
        ("nothing://x", RunError, "Protocol not known"),
    ],
)
def test_a_manifest_that_is_not_there_stops_before_work(
    manifest: str, fault: type[RunError], said: str, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(fault, match=said) as caught:
        prepared(manifest, tmp_path / "out", recipe)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_missing_credentials_are_said_before_work(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RunError, match="no credentials") as caught:
        prepared("s3://no-such-bucket-here/m.parquet", tmp_path / "out", recipe)
    assert caught.value.exit_code == 2
    s3fs.S3FileSystem.clear_instance_cache()


def test_the_cache_of_maps_is_named_in_full_and_asked_first(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepared(photos, "out", recipe).map_cache is None
    assert prepared(photos, "out", recipe, map_cache="kept/").map_cache == str(tmp_path / "kept")
    with pytest.raises(RunError, match="Protocol not known"):
        prepared(photos, "out", recipe, map_cache="nothing://kept")


def test_a_crop_around_people_asks_the_pose_detector_unless_it_is_blank() -> None:
    around = load_recipe("demo", ["fit=people"])
    assert decode_settings(around, frozenset())["find_people"] is not None
    assert decode_settings(around, frozenset({"openpose"}))["find_people"] is None
    assert decode_settings(load_recipe("demo"), frozenset())["find_people"] is None
