"""photo2anime maps: write the control maps of a manifest as a dataset with provenance."""

from typing import TYPE_CHECKING

import typer

from jobs import options

if TYPE_CHECKING:
    from pipeline.run import Summary


def maps(
    context: typer.Context,
    manifest: options.Manifest,
    output: options.Output,
    recipe: options.RecipeName,
    set_: options.Set = None,
    limit: options.Limit = None,
    address: options.Address = None,
    max_failure_rate: options.MaxFailureRate = None,
    map_cache: options.MapCache = None,
    allow: options.Allow = None,
    cpus: options.Cpus = None,
    gpus: options.Gpus = None,
    memory: options.Memory = None,
    object_store_memory: options.ObjectStoreMemory = None,
    fetch_timeout: options.FetchTimeout = 300,
    connect_timeout: options.ConnectTimeout = 10,
    read_timeout: options.ReadTimeout = 30,
    max_photo_size: options.MaxPhotoSize = "256MiB",
    fetch_threads: options.FetchThreads = 16,
    max_pixels: options.MaxPixels = 100_000_000,
    plan_memory: options.PlanMemory = "2GB",
    unit_size: options.UnitSize = None,
    recipe_changed: options.RecipeChanged = "refuse",
    removed_photos: options.RemovedPhotos = "keep",
    retry_failed: options.RetryFailed = False,
    verbose: options.Verbose = False,
    log_level: options.LogLevelOption = None,
    log_format: options.LogFormatOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Detect the control maps of the photos of a manifest, without generating images.

    Writes maps to maps/, masks to masks/, and one record for each unit to provenance/. Only the settings of the recipe
    that affect maps and labels are used.
    """
    options.run_and_report(context, describe, "mode=maps")


def describe(summary: "Summary") -> str:
    """Return the text for the summary of a run."""
    detected = f"{summary.maps_detected} maps detected, {summary.maps_cached} from the cache"
    return options.summary_line(
        summary, f"{summary.converted} photos in {summary.seconds:.0f} s, {summary.failed} failed, {detected}"
    )
