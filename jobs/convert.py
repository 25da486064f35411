"""photo2anime convert: convert the photos of a manifest."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobs import options as take

if TYPE_CHECKING:
    from pipeline.run import Summary


def convert(
    context: typer.Context,
    manifest: take.Manifest,
    output: take.Output,
    recipe: take.RecipeName,
    set_: take.Set = None,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="The number of images for each photo.")] = 1,
    limit: take.Limit = None,
    address: take.Address = None,
    max_failure_rate: take.MaxFailureRate = 1.0,
    keep_maps: Annotated[bool, typer.Option("--keep-maps", help="Write the control maps to the output too.")] = False,
    map_cache: take.MapCache = None,
    compile_cache: take.CompileCache = None,
    calibrate: take.Calibrate = None,
    allow: take.Allow = None,
    gpus: take.Gpus = None,
    unit_size: take.UnitSize = None,
    recipe_changed: take.RecipeChanged = "refuse",
    retry_failed: take.RetryFailed = False,
    verbose: take.Verbose = False,
    log_level: take.LogLevelOption = None,
    log_format: take.LogFormatOption = None,
    quiet: take.QuietOption = False,
) -> None:
    """Convert the photos of a manifest to anime images with provenance.

    Run the same command again to continue, or to convert photos that were added to the manifest.
    """
    take.run_and_report(context, describe)


def describe(summary: "Summary") -> str:
    """Return the summary of a run of convert."""
    return take.summary_line(summary, f"{summary.converted} images in {summary.seconds:.0f} s, {summary.failed} failed")
