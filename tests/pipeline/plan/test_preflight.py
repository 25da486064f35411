"""Preflight checks everything before the work, and writes nothing."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import (
    DamagedOutputError,
    DiskFullError,
    ManifestNotFoundError,
    MissingInputError,
    ModelError,
    RunError,
    SameFolderError,
    StorageAccessError,
    UnsupportedSchemeError,
)
from pipeline.output.provenance import record_uri
from pipeline.output.run_file import RunMetadata, write_run_file
from pipeline.plan import preflight as module
from pipeline.plan.preflight import RunPlan, preflight
from pipeline.recipes.load import load_recipe
from schemas.options import Options
from schemas.recipe import Recipe
from tests.planning import manifest_of, plan_into


def run_plan(manifest: Path | str, output: Path | str, recipe: Recipe, **options: object) -> RunPlan:
    settings = Options.model_validate(options)
    with preflight(str(manifest), str(output), recipe, settings, lambda _done, _photos: None) as run:
        return run


def test_the_work_is_planned_and_nothing_is_written(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    found = run_plan(photos, tmp_path / "out", recipe, variants=2, limit=5)
    assert found.new is not None
    assert (found.work.rows, found.new.rows) == (10, 10)
    assert not found.new.folder.exists()
    assert found.listed is not None
    assert found.blank == {"openpose", "depth"}
    assert not (tmp_path / "out").exists()


def test_only_a_local_manifest_may_name_local_files(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    assert "file" in run_plan(photos, tmp_path, recipe).access.allowed
    storage.put_table("memory://prepare/m.parquet", pa.table({"photo_id": ["a"], "uri": ["/a.jpg"]}))
    remote = run_plan("memory://prepare/m.parquet", tmp_path, recipe).access.allowed
    assert "file" not in remote
    assert {"memory", "s3"} <= remote
    assert "file" in run_plan("memory://prepare/m.parquet", tmp_path, recipe, allow={"file"}).access.allowed


def test_provided_maps_need_no_weights(tmp_path: Path) -> None:
    strict = load_recipe("demo", ["controls.depth.when_missing=fail"])
    columns = {"photo_id": ["a", "b"], "uri": ["/a.jpg", "/b.jpg"]}
    storage.put_table(str(tmp_path / "all.parquet"), pa.table({**columns, "depth_uri": ["/a.png", "/b.png"]}))
    storage.put_table(str(tmp_path / "some.parquet"), pa.table({**columns, "depth_uri": ["/a.png", None]}))
    assert run_plan(tmp_path / "all.parquet", tmp_path / "out", strict).blank == {"openpose"}
    with pytest.raises(ModelError, match="Depth-Anything"):
        run_plan(tmp_path / "some.parquet", tmp_path / "out", strict)


@pytest.mark.parametrize(("address", "expected"), [(None, False), ("/depth.png", True)])
def test_a_run_with_images_of_maps_is_known(tmp_path: Path, address: str | None, *, expected: bool) -> None:
    columns = {"photo_id": ["a", "b"], "uri": ["/a.jpg", "/b.jpg"], "depth_uri": [None, address]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert run_plan(tmp_path / "m.parquet", tmp_path / "out", load_recipe("demo")).has_map_files == expected


def test_a_provided_map_does_not_replace_the_detector_that_crops_around_people(tmp_path: Path) -> None:
    columns = {"photo_id": ["a"], "uri": ["/a.jpg"], "openpose_uri": ["/a.png"]}
    storage.put_table(str(tmp_path / "map.parquet"), pa.table(columns))
    storage.put_table(str(tmp_path / "pose.parquet"), pa.table({**columns, "pose_keypoints": [[[1.0, 2.0, 2.0] * 17]]}))
    strict = load_recipe("demo", ["controls.openpose.when_missing=fail"])
    people = load_recipe("demo", ["controls.openpose.when_missing=fail", "fit=people"])
    assert run_plan(tmp_path / "map.parquet", tmp_path / "out", strict).blank == {"depth"}
    assert run_plan(tmp_path / "pose.parquet", tmp_path / "out", people).blank == {"depth"}
    with pytest.raises(ModelError, match="Annotators"):
        run_plan(tmp_path / "map.parquet", tmp_path / "out", people)
    box = {"x": 1.0, "y": 1.0, "w": 5.0, "h": 5.0, "category": "person"}
    storage.put_table(str(tmp_path / "box.parquet"), pa.table({**columns, "boxes": [[box]]}))
    assert run_plan(tmp_path / "box.parquet", tmp_path / "out", people).blank == {"depth"}
    storage.put_table(str(tmp_path / "cat.parquet"), pa.table({**columns, "boxes": [[box | {"category": "cat"}]]}))
    with pytest.raises(ModelError, match="Annotators"):
        run_plan(tmp_path / "cat.parquet", tmp_path / "out", people)


def test_an_ip_adapter_needs_a_reference_and_the_address_becomes_absolute(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adapted(**adapter: str) -> Recipe:
        return Recipe.model_validate(recipe.model_dump() | {"ip_adapter": adapter})

    with pytest.raises(MissingInputError):
        run_plan(photos, tmp_path / "out", adapted())
    monkeypatch.setattr(module.checks, "check_models", lambda *_: frozenset())
    monkeypatch.chdir(tmp_path)
    found = run_plan(photos, tmp_path / "out", adapted(reference="style.png")).recipe
    assert found.ip_adapter is not None
    assert found.ip_adapter.reference == str(tmp_path / "style.png")
    columns = {"photo_id": ["a", "b"], "uri": ["/a.jpg", "/b.jpg"], "reference_uri": ["/s.png", None]}
    storage.put_table(str(tmp_path / "some.parquet"), pa.table(columns))
    assert run_plan(tmp_path / "some.parquet", tmp_path / "out", adapted()).work.rows == 2


def test_inpainting_needs_a_mask(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        run_plan(photos, tmp_path / "out", recipe.model_copy(update={"mode": "inpaint"}))


def test_the_output_must_not_be_the_folder_of_the_photos(photos: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    for output in (photos, tmp_path / "link"):
        with pytest.raises(SameFolderError):
            run_plan(photos, output, recipe)


def test_a_full_disk_is_an_error_before_planning(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)._replace(free=recipe.area * module.BYTES_PER_PIXEL)  # one image
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _folder: usage)
    assert run_plan(photos, tmp_path / "out", recipe, limit=1).work.rows == 1
    monkeypatch.delattr(module.plan, "open_planning")
    for options in ({"limit": 2}, {"limit": 1, "variants": 2}, {"limit": 1, "keep_maps": True}):
        with pytest.raises(DiskFullError) as caught:
            run_plan(photos, tmp_path / "out" / "deeper", recipe, **options)
        assert "12.3 KB are free" in str(caught.value)


def test_a_full_disk_is_an_error_for_the_rows_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = load_recipe("demo")  # the recipe of the plan
    manifest = manifest_of(["a", "b"])
    storage.put_table(str(tmp_path / "m.parquet"), manifest)
    work = plan_into(tmp_path / "out", manifest, size=1)
    usage = module.shutil.disk_usage(tmp_path)._replace(free=demo.area * module.BYTES_PER_PIXEL)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _folder: usage)
    write_run_file(str(tmp_path / "out"), RunMetadata("1", demo, "1.0", None), {"status": "running"})
    with pytest.raises(DiskFullError):
        run_plan(tmp_path / "m.parquet", tmp_path / "out", demo)
    storage.put(record_uri(str(tmp_path / "out"), work.units["unit"][0].as_py()), b"")
    assert run_plan(tmp_path / "m.parquet", tmp_path / "out", demo).work.rows == 1


@pytest.mark.parametrize("column", ["uri", "key", "unit", "map_uris"])
def test_a_plan_with_damaged_pages_is_an_error_before_the_work(tmp_path: Path, column: str) -> None:
    manifest, out, demo = manifest_of(["a", "b"], uri=["s3://x/a", "s3://x/b"]), tmp_path / "out", load_recipe("demo")
    storage.put_table(str(tmp_path / "m.parquet"), manifest)
    plan_into(out, manifest, size=1)
    write_run_file(str(out), RunMetadata("1", demo, "1.0", None), {"status": "running"})
    (part,) = out.glob("_plan/*/part-*.parquet")
    group = pq.ParquetFile(part).metadata.row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(part.read_bytes())
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    part.write_bytes(content)
    with pytest.raises(DamagedOutputError):
        run_plan(tmp_path / "m.parquet", out, demo)


@pytest.mark.parametrize(
    ("manifest", "error"),
    [("/none.parquet", ManifestNotFoundError), ("nothing://x", UnsupportedSchemeError)],
)
def test_a_missing_manifest_is_an_error_before_the_work(
    manifest: str, error: type[RunError], recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        run_plan(manifest, tmp_path / "out", recipe)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_credentials")
def test_missing_credentials_are_an_error_before_the_work(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(StorageAccessError) as caught:
        run_plan("s3://no-such-bucket-here/m.parquet", tmp_path / "out", recipe)
    assert caught.value.exit_code == 2


def test_the_address_of_the_map_cache_becomes_absolute(
    photos: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_plan(photos, "out", recipe).map_cache is None
    assert run_plan(photos, "out", recipe, map_cache="kept/").map_cache == str(tmp_path / "kept")
    with pytest.raises(UnsupportedSchemeError):
        run_plan(photos, "out", recipe, map_cache="nothing://kept")


@pytest.mark.parametrize("table", [None, pa.table({"x": [1]})])
def test_a_damaged_listing_of_an_earlier_run_is_ignored(
    photos: Path, recipe: Recipe, tmp_path: Path, table: pa.Table | None
) -> None:
    listing = storage.join(str(tmp_path), module.MANIFEST_FILE)
    storage.put(listing, b"text") if table is None else storage.put_table(listing, table)
    assert run_plan(photos, tmp_path, recipe).listed is not None
