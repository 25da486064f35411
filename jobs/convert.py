"""photo2anime convert: convert the photos of a manifest."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobs import options

if TYPE_CHECKING:
    from pipeline.run import Summary


def convert(
    context: typer.Context,
    manifest: options.Manifest,
    output: options.Output,
    recipe: options.RecipeName,
    set_: options.Set = None,
    variants: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="The number of images for each photo.")
    ] = 1,
    limit: options.Limit = None,
    address: options.Address = None,
    max_failure_rate: options.MaxFailureRate = None,
    keep_maps: Annotated[bool, typer.Option("--keep-maps", help="Write the control maps to the output too.")] = False,
    map_cache: options.MapCache = None,
    compile_cache: options.CompileCache = None,
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
    """Convert the photos of a manifest to anime images with provenance.

    Run the same command again to continue, or to convert photos that were added to the manifest.
    """
    options.run_and_report(context, describe)


def describe(summary: "Summary") -> str:
    """Return the text for the summary of a run."""
    result = f"{summary.converted} images in {summary.seconds:.0f} s, {summary.failed} failed"
    return options.summary_line(summary, result)
