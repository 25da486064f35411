"""photo2anime maps: the control maps of a manifest alone, as a dataset with provenance."""

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
) -> None:
    """Draw the control maps that a recipe's detectors see in the photos of a manifest, and no pictures.

    Maps lie below maps/, one record for each unit in provenance/. Only the recipe's geometry and detectors count.
    """
    take.run_and_report(context, sentence, "mode=maps")


def sentence(summary: "Summary") -> str:
    """Say in a line or two what a run did, and where the rest is to be read."""
    drawn = f"{summary.maps_detected} maps detected, {summary.maps_cached} from the cache"
    return take.summary_line(
        summary, f"{summary.converted} photos in {summary.seconds:.0f} s, {summary.failed} failed, {drawn}"
    )
