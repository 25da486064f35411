"""photo2anime maps: write the control maps of a manifest as a dataset with provenance."""

from typing import TYPE_CHECKING

import typer

from jobs import options as take

if TYPE_CHECKING:
    from pipeline.run import Summary


def maps(
    context: typer.Context,
    manifest: take.Manifest,
    output: take.Output,
    recipe: take.RecipeName,
    set_: take.Set = None,
    limit: take.Limit = None,
    address: take.Address = None,
    max_failure_rate: take.MaxFailureRate = 1.0,
    map_cache: take.MapCache = None,
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
    """Detect the control maps of the photos of a manifest, without generating images.

    Writes maps to maps/, and one record for each unit to provenance/. Only the geometry and the detectors of the recipe
    are used.
    """
    take.run_and_report(context, describe, "mode=maps")


def describe(summary: "Summary") -> str:
    """Return the summary of a run of maps."""
    detected = f"{summary.maps_detected} maps detected, {summary.maps_cached} from the cache"
    return take.summary_line(
        summary, f"{summary.converted} photos in {summary.seconds:.0f} s, {summary.failed} failed, {detected}"
    )
