"""Everything before work: the checks of a run, and what it has to do. Nothing here writes."""

import shutil
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import OutputError, RecipeError
from pipeline.models import checks
from pipeline.output import plan_store, provenance, run_file
from pipeline.plan import manifest as manifests
from pipeline.plan import plan
from pipeline.plan.manifest import check_manifest
from pipeline.storage import CLOUD_SCHEMES, PUBLIC_SCHEMES
from schemas.options import Options
from schemas.recipe import Recipe

BYTES_PER_PIXEL = 3  # of a PNG picture or map at the worst
COMPILE_THRESHOLD = 2000  # pictures: compilation takes minutes, and saves about a quarter of each
MANIFEST_FILE = "_manifest.parquet"


@dataclass(frozen=True)
class RunPlan:
    """A run that passed its checks: `fresh` is the plan of what is new in the manifest, `work` all there is to do."""

    recipe: Recipe
    account: dict[str, Any] | None  # the last run's, from `_run.json`
    listed: pa.Table | None  # the manifest that was made of a folder of pictures
    fresh: pa.Table
    work: plan.RemainingWork
    allowed: frozenset[str]
    blank: frozenset[str]
    map_cache: str | None = None
    compile_cache: str | None = None

    def without_rows(self) -> "RunPlan":
        """Return how the steps work, light enough to travel, without what they have to do."""
        return replace(self, listed=None, fresh=self.fresh.slice(0, 0), work=plan.RemainingWork({}, 0))


def preflight(
    manifest: str, output: str, recipe: Recipe, options: Options, listing: manifests.ListingProgress
) -> RunPlan:
    """Check manifest, output, recipe, weights and space, and plan. Raises `RunError`; writes nothing.

    `listing` is told how far the listing of a folder of pictures is.
    """
    # 1. The output is ours, or new.
    account = run_file.read_run_file(output)
    run_file.check_recipe(output, account, recipe, reconvert=options.recipe_changed == "reconvert")
    # 2. The manifest is whole.
    listed = _listed(manifest, output, listing) if manifests.is_photo_folder(manifest) else None
    photos = manifests.read_manifest(manifest) if listed is None else check_manifest(listed, manifest)
    photos = photos.slice(0, options.limit)
    # 3. What is new in it, and what is left of what was planned before.
    rows = plan.plan_rows(photos, recipe, options.variants)
    known = plan_store.read_plans(output)
    fresh = plan.plan_new_rows(rows, known, options.unit_size)
    work = plan.remaining_work(pa.concat_tables([known, fresh]), _done(output, options), recipe.digest, rows)
    # 4. Photos can be reached, the weights are there, and the space.
    _check_credentials(work)
    _check_references(work, recipe)
    blank = checks.check_models(recipe, _brought(work, recipe)) if work.units else frozenset()
    if work.units:
        _check_space(output, recipe, work.rows, keep_maps=options.keep_maps)
    caches = [_cache(uri) for uri in (options.map_cache, options.compile_cache)]
    recipe = _with_reference_in_full(_compiled_if_worth(recipe, work.rows))
    return RunPlan(recipe, account, listed, fresh, work, _allowed(manifest, options), blank, *caches)


def _listed(folder: str, output: str, progress: manifests.ListingProgress) -> pa.Table:
    """List a folder of pictures, with the help of what the last run listed."""
    uri = storage.join(output, MANIFEST_FILE)
    known = storage.read_table(uri) if storage.exists(uri) else None
    return manifests.list_photos(folder, progress, skip=output, known=known)


def _done(output: str, options: Options) -> set[str]:
    done = provenance.done_units(output)
    return done - provenance.units_to_retry(output, done) if options.retry_failed else done


def _brought(work: plan.RemainingWork, recipe: Recipe) -> frozenset[str]:
    """Return the detectors that are not needed: every row of the work brings their map."""
    whole = pa.concat_tables([unit.select(["pose_keypoints", "map_uris"]) for unit in work.units.values()])
    named = [{each["detector"] for each in uris or []} for uris in whole["map_uris"].to_pylist()]
    posed = whole["pose_keypoints"].is_valid().to_pylist()
    return frozenset(
        settings.name
        for settings in recipe.detectors
        if all(
            settings.name in names or (settings.draws_people and pose) for names, pose in zip(named, posed, strict=True)
        )
    )


def _check_references(work: plan.RemainingWork, recipe: Recipe) -> None:
    """Raise `RecipeError` where the recipe needs of every photo what the manifest has for none."""
    needs_reference = recipe.ip_adapter is not None and not recipe.ip_adapter.reference
    if needs_reference and not _brings(work, "reference_uri"):
        message = f"recipe {recipe.name}: its ip_adapter has no reference, and the manifest no reference_uri"
        raise RecipeError(message, "Set ip_adapter.reference, or give each photo its own.")
    if recipe.mode == "inpaint" and recipe.region.of == "mask" and not _brings(work, "mask_uri"):
        message = f"recipe {recipe.name}: mode inpaint paints what the manifest's mask_uri covers, and it has none"
        raise RecipeError(message, "Give photos a mask_uri, or set region.of to subject or background.")


def _brings(work: plan.RemainingWork, column: str) -> bool:
    """Tell whether any photo of the work has something in a column; true of no work at all."""
    return not work.units or any(unit[column].is_valid().to_numpy().any() for unit in work.units.values())


def _with_reference_in_full(recipe: Recipe) -> Recipe:
    """Return a recipe whose reference picture is found from any working folder."""
    if not recipe.ip_adapter or not recipe.ip_adapter.reference:
        return recipe
    reference = {"reference": storage.absolute(recipe.ip_adapter.reference)}
    return recipe.model_copy(update={"ip_adapter": recipe.ip_adapter.model_copy(update=reference)})


def _cache(uri: str | None) -> str | None:
    """Return the address of a cache in full, since workers may have another working folder; ask it first."""
    if uri is None:
        return None
    storage.exists(uri)  # raises where it cannot be asked
    return storage.absolute(uri)


def _compiled_if_worth(recipe: Recipe, pictures: int) -> Recipe:
    """Return a recipe that does not leave compilation open where there is too little work to pay for it."""
    if recipe.compile != "auto" or pictures >= COMPILE_THRESHOLD:
        return recipe
    return recipe.model_copy(update={"compile": "off"})


def _allowed(manifest: str, options: Options) -> frozenset[str]:
    """Return where photos may come from: a manifest on this machine may name this machine's files, no other may."""
    scheme = "file" if storage.local_path(manifest) is not None else manifest.partition("://")[0]
    return PUBLIC_SCHEMES | {scheme} | options.allow


def _check_credentials(work: plan.RemainingWork) -> None:
    """Ask each cloud bucket for one file: without credentials every photo that needs it would be a failure."""
    buckets: dict[str, str] = {}
    for unit in work.units.values():
        maps = [each["uri"] for uris in unit["map_uris"].to_pylist() for each in uris or []]
        named = [uri for name in ("uri", "mask_uri", "reference_uri") for uri in unit[name].to_pylist()]
        for uri in [*named, *maps]:
            if uri and uri.partition("://")[0] in CLOUD_SCHEMES and "::" not in uri:
                buckets.setdefault("/".join(uri.split("/")[:3]), uri)
    for uri in buckets.values():
        storage.check_credentials(uri)


def _check_space(output: str, recipe: Recipe, rows: int, *, keep_maps: bool) -> None:
    """Raise `OutputError` where a local disk cannot hold the pictures."""
    folder = storage.local_path(output)
    if folder is None:
        return
    standing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    files = (recipe.mode != "maps") + len(recipe.controls) * (keep_maps or recipe.mode == "maps")
    pixels = recipe.area * recipe.enlargement**2
    needed, free = rows * pixels * BYTES_PER_PIXEL * files, shutil.disk_usage(standing).free
    if needed > free:
        message = f"{output}: {rows} pictures may need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise OutputError(message, "Free some space, choose another output, or convert fewer with --limit.")
