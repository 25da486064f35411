"""Check everything that a run needs before it starts, and plan its work. Nothing here writes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ByteSize

from pipeline import storage
from pipeline.errors import DiskFullError, OptionError, PlanConflictError, SameFolderError
from pipeline.models import checks
from pipeline.output import plan_store, provenance, run_file
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.plan import manifest as manifests
from pipeline.plan import plan, remaining
from pipeline.plan.headers import ThreadedReader
from pipeline.plan.inputs import check_files
from pipeline.plan.listing import ListingOptions, ListingProgress, write_listing
from pipeline.plan.manifest import Manifest
from pipeline.plan.manifest_files import is_photo_folder
from pipeline.plan.plan_columns import prompt_columns
from pipeline.plan.recovery import recover_plan
from pipeline.plan.remaining import RemainingWork
from pipeline.recipes.prompts import PromptRenderer
from pipeline.storage import PUBLIC_SCHEMES
from pipeline.storage.database import Database, open_database
from pipeline.storage.limits import Access, ReadLimits
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
        plans: The addresses of the plans of the output.
        listed: The path of the temporary manifest that was made by listing a folder of photos, or None.
        recovered: The plan of rows whose records are in no plan, in temporary files, or None. It is written first.
        new: The plan to add to the plans of the output, in temporary files, or None.
        work: Everything that is left to do.
        prompt_columns: The columns of the manifest that prompts may name.
        access: What the manifest may name, and how its files are read.
        blank: Detectors whose weights are missing and whose maps are black.
        has_map_files: Whether the manifest names images of control maps for rows that are left.
        map_cache: Address of a folder of control maps.
        compile_cache: Address of a folder of compiled models.
    """

    recipe: Recipe
    last_run: dict[str, Any] | None
    plans: list[str]
    listed: Path | None
    recovered: NewPlan | None
    new: NewPlan | None
    work: RemainingWork
    prompt_columns: list[str]
    access: Access
    blank: frozenset[str]
    has_map_files: bool
    map_cache: str | None = None
    compile_cache: str | None = None


@contextmanager
def preflight(
    manifest: str, output: str, recipe: Recipe, options: Options, progress: ListingProgress
) -> Iterator[RunPlan]:
    """Check manifest, output, recipe, weights and free space, and plan the work.

    The files of a new plan are temporary, and are removed when the context ends.

    Args:
        manifest: Address of the manifest, or of a folder of photos.
        output: Address of the output.
        recipe: The recipe.
        options: The options of the run.
        progress: Called with the progress of listing a folder of photos.

    Raises:
        RunError: A check failed. Nothing was written to the output.
    """
    drop_removed = options.removed_photos == "drop"
    if options.limit is not None and drop_removed:
        raise OptionError("--removed-photos drop: needs the whole manifest", "Omit --limit.")
    with open_database(f"{options.plan_memory}B", "--plan-memory") as database:
        # 1. The output is new, or was written by this program, with this recipe unless another one is accepted.
        last_run = _read_run_file(output, recipe, options)
        # 2. The manifest is valid, and has the columns that the prompts of the recipe name.
        listed = _list_photos(manifest, output, database.folder / MANIFEST_FILE, options, progress)
        photos = manifests.open_manifest(str(listed or manifest), database, options.limit)
        columns = prompt_columns(photos, recipe)
        PromptRenderer(recipe, columns)  # raises an error
        # 3. Plan the rows of lost plans and those that are new or removed, and find what is left of earlier plans.
        stored, recovered = _read_plans(photos, recipe, output, database)
        plans = [*stored, recovered.stored()] if recovered else stored
        if not plans:  # checked here too, because planning millions of photos takes a minute
            _check_space(output, recipe, photos.rows * options.variants, keep_maps=options.keep_maps)
        planning = plan.open_planning(database, photos, recipe, options.variants)
        if drop_removed:
            provenance.open_records(output, provenance.done_units(output), database)
        new = plan.plan_new_rows(planning, plans, options.unit_size, drop_removed=drop_removed)
        with plan_store.damage_reported():
            work = remaining.remaining_work(planning, plans, new, output, retry_failed=options.retry_failed)
            # 4. The buckets can be read, the weights exist, and the images fit on the disk.
            provided, has_maps = check_files(planning, work)
        blank = checks.check_models(recipe, provided) if work.units.num_rows else frozenset()
        if plans and work.units.num_rows:
            _check_space(output, recipe, work.rows, keep_maps=options.keep_maps)
        recipe = _with_absolute_reference(_with_compilation(recipe, work.rows))
        database.close()
        uris, access = [each.uri for each in stored], _access(manifest, options)
        caches = [_cache_address(uri) for uri in (options.map_cache, options.compile_cache)]
        yield RunPlan(recipe, last_run, uris, listed, recovered, new, work, columns, access, blank, has_maps, *caches)


def _read_run_file(output: str, recipe: Recipe, options: Options) -> dict[str, Any] | None:
    """Read the run file of an output, and check its recipe. Returns None for a new output."""
    last_run = run_file.read_run_file(output)
    run_file.check_recipe(output, last_run, recipe, reconvert=options.recipe_changed == "reconvert")
    return last_run


def _read_plans(
    photos: Manifest, recipe: Recipe, output: str, database: Database
) -> tuple[list[StoredPlan], NewPlan | None]:
    """Read the plans of an output, and plan the rows of its records that are in no plan, if there are any."""
    recorded = provenance.done_units(output)  # first, because another run may write a plan and then its records
    plans = plan_store.read_plans(output)
    plan_store.check_files(plans, database)
    return plans, recover_plan(photos, recipe, output, recorded, plans, database)


def check_unchanged(run: RunPlan, output: str) -> None:
    """Check that no other run has written to an output since its preflight. The lease of the output must be held.

    Raises:
        PlanConflictError: Another run has written to the output.
    """
    is_unchanged = (
        run_file.read_run_file(output) == run.last_run
        and [each.uri for each in plan_store.read_plans(output)] == run.plans
        and provenance.done_units(output) == set(run.work.done_units)
    )
    if not is_unchanged:
        raise PlanConflictError(f"{storage.redact(output)}: another run has written to it meanwhile")


def check_caches(run: RunPlan) -> None:
    """Check that the caches to which a run will write can be written. Writes and removes a file.

    Raises:
        StorageAccessError: A cache cannot be written.
        StorageError: Its storage cannot be reached.
        DiskFullError: Its disk is full.
    """
    if run.map_cache is not None and run.recipe.detectors:
        storage.check_writable(run.map_cache)
    if run.compile_cache is not None and run.recipe.compile != "off":
        storage.check_writable(run.compile_cache)


def _list_photos(folder: str, output: str, target: Path, options: Options, progress: ListingProgress) -> Path | None:
    """List a folder of photos in a manifest. Returns its path, or None if the address is that of a manifest.

    The last run listed the sizes of photos, and those of unchanged photos are reused.
    """
    if not is_photo_folder(folder):
        return None
    if storage.resolved(folder) == storage.resolved(output):
        raise SameFolderError(f"{storage.redact(output)}: also the folder of the photos")
    known = storage.join(output, MANIFEST_FILE)
    listing = ListingOptions(ThreadedReader(), skip=output, known=known, memory=f"{options.plan_memory}B")
    write_listing(folder, str(target), listing, progress)
    return target


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


def _access(manifest: str, options: Options) -> Access:
    """Return what a manifest may name. By default, only a local manifest may name local files."""
    scheme = "file" if storage.local_path(manifest) is not None else manifest.partition("://")[0]
    limits = ReadLimits(
        connect_seconds=options.connect_timeout,
        read_seconds=options.read_timeout,
        total_seconds=options.fetch_timeout,
        max_bytes=options.max_photo_size,
        private_hosts="private" in options.allow,
    )
    return Access(PUBLIC_SCHEMES | {scheme} | options.allow, limits, options.fetch_threads, options.max_pixels)


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
        amounts = [ByteSize(each).human_readable(decimal=True, separator=" ") for each in (needed, free)]
        raise DiskFullError(
            f"{output}: the files of {rows} rows may need {amounts[0]}, {amounts[1]} are free",
            "Free some space, choose another output, or convert fewer photos with --limit.",
        )
