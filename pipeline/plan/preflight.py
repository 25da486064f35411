"""Check everything that a run needs before it starts, and plan its work. Nothing here writes."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import DiskFullError, MissingInputError, StorageNotFoundError
from pipeline.images.labels import PERSON
from pipeline.models import checks
from pipeline.output import plan_store, provenance, run_file
from pipeline.plan import manifest as manifests
from pipeline.plan import plan
from pipeline.plan.manifest import check_manifest
from pipeline.storage import CLOUD_SCHEMES, PUBLIC_SCHEMES
from schemas.options import Options
from schemas.recipe import Recipe

BYTES_PER_PIXEL = 3  # of an image or a control map that PNG cannot compress
COMPILE_THRESHOLD = 2000  # images: compilation takes minutes, and saves about a quarter of the time of each image
MANIFEST_FILE = "_manifest.parquet"


@dataclass(frozen=True)
class RunPlan:
    """A run that passed its checks.

    Attributes:
        recipe: The recipe. `compile` is off if the run is too small for `auto`, and the address of the reference image
            is absolute.
        last_run: The content of `_run.json`, or None for a new output.
        listed: The manifest that was made by listing a folder of photos.
        fresh: The rows to add to the plans of the output.
        work: Everything that is left to do.
        allowed: Schemes that the manifest may name, and `private` if private hosts are allowed.
        blank: Detectors whose weights are missing and whose maps are black.
        map_cache: Address of a folder of control maps.
        compile_cache: Address of a folder of compiled models.
    """

    recipe: Recipe
    last_run: dict[str, Any] | None
    listed: pa.Table | None
    fresh: pa.Table
    work: plan.RemainingWork
    allowed: frozenset[str]
    blank: frozenset[str]
    map_cache: str | None = None
    compile_cache: str | None = None

    def without_rows(self) -> "RunPlan":
        """Return the plan without its rows, which is small enough to send to other processes."""
        return replace(self, listed=None, fresh=self.fresh.slice(0, 0), work=plan.RemainingWork({}, 0))


def preflight(
    manifest: str, output: str, recipe: Recipe, options: Options, listing: manifests.ListingProgress
) -> RunPlan:
    """Check manifest, output, recipe, weights and free space, and plan the work.

    Args:
        manifest: Address of the manifest, or of a folder of photos.
        output: Address of the output.
        recipe: The recipe.
        options: The options of the run.
        listing: Called with the progress of listing a folder of photos.

    Raises:
        RunError: A check failed. Nothing was written.
    """
    # 1. The output is new, or was written by this program, with this recipe unless another one is accepted.
    last_run = run_file.read_run_file(output)
    run_file.check_recipe(output, last_run, recipe, reconvert=options.recipe_changed == "reconvert")
    # 2. The manifest is valid.
    listed = _list_photos(manifest, output, listing) if manifests.is_photo_folder(manifest) else None
    photos = manifests.read_manifest(manifest) if listed is None else check_manifest(listed, manifest)
    photos = photos.slice(0, options.limit)
    # 3. Plan the rows that are new, and find what is left of earlier plans.
    rows = plan.plan_rows(photos, recipe, options.variants)
    known = plan_store.read_plans(output)
    fresh = plan.plan_new_rows(rows, known, options.unit_size)
    work = plan.remaining_work(pa.concat_tables([known, fresh]), _done_units(output, options), recipe.digest, rows)
    # 4. The buckets can be read, the weights exist, and the images fit on the disk.
    _check_credentials(work)
    _check_inputs(work, recipe)
    blank = checks.check_models(recipe, _provided_detectors(work, recipe)) if work.units else frozenset()
    if work.units:
        _check_space(output, recipe, work.rows, keep_maps=options.keep_maps)
    caches = [_cache_address(uri) for uri in (options.map_cache, options.compile_cache)]
    recipe = _with_absolute_reference(_with_compilation(recipe, work.rows))
    return RunPlan(recipe, last_run, listed, fresh, work, _allowed_schemes(manifest, options), blank, *caches)


def _list_photos(folder: str, output: str, progress: manifests.ListingProgress) -> pa.Table:
    """List a folder of photos. The last run listed the sizes of photos, and those of unchanged photos are reused."""
    uri = storage.join(output, MANIFEST_FILE)
    known = None
    # If the manifest of the last run is missing or damaged, the sizes of all photos are read from their files.
    with suppress(pa.ArrowException, KeyError, StorageNotFoundError):
        known = storage.read_table(uri, ["uri", "bytes", "etag", "modified", "width", "height"])
    return manifests.list_photos(folder, progress, skip=output, known=known)


def _done_units(output: str, options: Options) -> set[str]:
    done = provenance.done_units(output)
    return done - provenance.units_to_retry(output, done) if options.retry_failed else done


def _provided_detectors(work: plan.RemainingWork, recipe: Recipe) -> frozenset[str]:
    """Return the detectors that are not needed, because the manifest provides a map or the people for every row.

    With `fit: people`, a map alone does not replace a detector that may have to find the people to crop around.
    """
    columns = ["pose_keypoints", "boxes", "map_uris"]
    rows = pa.concat_tables([unit.select(columns) for unit in work.units.values()])
    maps = [{each["detector"] for each in uris or []} for uris in rows["map_uris"].to_pylist()]
    poses = rows["pose_keypoints"].is_valid().to_pylist()
    people = [any(box and box["category"] == PERSON for box in boxes or []) for boxes in rows["boxes"].to_pylist()]
    finders = _people_finders(recipe)
    return frozenset(
        settings.name
        for settings in recipe.detectors
        if all(
            (settings.finds_people and has_pose)
            or (settings.name in names and (has_people or settings.name not in finders))
            for names, has_pose, has_people in zip(maps, poses, people, strict=True)
        )
    )


def _people_finders(recipe: Recipe) -> list[str]:
    """Return the detectors that may find the people to crop around: the first one with weights does."""
    names: list[str] = []
    for settings in recipe.pose_detectors if recipe.fit == "people" else ():
        names.append(settings.name)
        if settings.name not in recipe.may_be_blank:
            break
    return names


def _check_inputs(work: plan.RemainingWork, recipe: Recipe) -> None:
    """Raise an error if the recipe needs masks or reference images, and no row has one."""
    needs_reference = recipe.ip_adapter is not None and not recipe.ip_adapter.reference
    if needs_reference and not _any_row_has(work, "reference_uri"):
        raise MissingInputError(
            f"recipe {recipe.name}: ip_adapter.reference is not set, and the manifest has no reference_uri",
            "Set ip_adapter.reference, or give each photo a reference_uri.",
        )
    if recipe.mode == "inpaint" and recipe.region.of == "mask" and not _any_row_has(work, "mask_uri"):
        raise MissingInputError(
            f"recipe {recipe.name}: mode inpaint paints what a mask covers, and the manifest has no mask_uri",
            "Give each photo a mask_uri, or set region.of to subject or background.",
        )


def _any_row_has(work: plan.RemainingWork, column: str) -> bool:
    """Return whether any row has a value in a column, or there are no rows."""
    return not work.units or any(unit[column].is_valid().to_numpy().any() for unit in work.units.values())


def _with_absolute_reference(recipe: Recipe) -> Recipe:
    """Return a recipe whose reference image is found from any working folder."""
    if not recipe.ip_adapter or not recipe.ip_adapter.reference:
        return recipe
    reference = {"reference": storage.absolute(recipe.ip_adapter.reference)}
    return recipe.model_copy(update={"ip_adapter": recipe.ip_adapter.model_copy(update=reference)})


def _cache_address(uri: str | None) -> str | None:
    """Return the absolute address of a cache, because workers may have another working folder."""
    if uri is None:
        return None
    storage.exists(uri)  # raises an error if the storage cannot be reached
    return storage.absolute(uri)


def _with_compilation(recipe: Recipe, images: int) -> Recipe:
    """Return a recipe that does not compile models for a run that is too small to gain from it."""
    if recipe.compile != "auto" or images >= COMPILE_THRESHOLD:
        return recipe
    return recipe.model_copy(update={"compile": "off"})


def _allowed_schemes(manifest: str, options: Options) -> frozenset[str]:
    """Return `RunPlan.allowed`. By default, only a local manifest may name local files."""
    scheme = "file" if storage.local_path(manifest) is not None else manifest.partition("://")[0]
    return PUBLIC_SCHEMES | {scheme} | options.allow


def _check_credentials(work: plan.RemainingWork) -> None:
    """Request one file of each bucket, because without credentials every one of its photos would fail."""
    buckets: dict[str, str] = {}
    for unit in work.units.values():
        maps = [each["uri"] for uris in unit["map_uris"].to_pylist() for each in uris or []]
        files = [uri for name in ("uri", "mask_uri", "reference_uri") for uri in unit[name].to_pylist()]
        for uri in [*files, *maps]:
            if uri and uri.partition("://")[0] in CLOUD_SCHEMES and "::" not in uri:
                buckets.setdefault("/".join(uri.split("/")[:3]), uri)
    for uri in buckets.values():
        storage.check_credentials(uri)


def _check_space(output: str, recipe: Recipe, rows: int, *, keep_maps: bool) -> None:
    """Raise `DiskFullError` if a local disk cannot hold the images and control maps."""
    folder = storage.local_path(output)
    if folder is None:
        return
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    files = (recipe.mode != "maps") + len(recipe.controls) * (keep_maps or recipe.mode == "maps")
    pixels = recipe.area * recipe.enlargement**2
    needed, free = rows * pixels * BYTES_PER_PIXEL * files, shutil.disk_usage(existing).free
    if needed > free:
        raise DiskFullError(
            f"{output}: the files of {rows} rows may need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            "Free some space, choose another output, or convert fewer photos with --limit.",
        )
