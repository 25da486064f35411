"""photo2anime convert: the main job."""

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
    variants: Annotated[int, typer.Option(min=1, max=1000, help="Pictures per photo.")] = 1,
    limit: take.Limit = None,
    address: take.Address = None,
    max_failure_rate: take.MaxFailureRate = 1.0,
    keep_maps: Annotated[bool, typer.Option("--keep-maps", help="Keep the control maps beside the pictures.")] = False,
    map_cache: take.MapCache = None,
    compile_cache: take.CompileCache = None,
    calibrate: take.Calibrate = None,
    allow: take.Allow = None,
    gpus: take.Gpus = None,
    unit_size: take.UnitSize = None,
    recipe_changed: take.RecipeChanged = "refuse",
    retry_failed: take.RetryFailed = False,
    verbose: take.Verbose = False,
) -> None:
    """Convert the photos of a manifest into anime pictures with provenance; run it again to go on or to add photos."""
    take.run_and_report(context, sentence)


def sentence(summary: "Summary") -> str:
    """Say in a line or two what a run did, and where the rest is to be read."""
    return take.summary_line(
        summary, f"{summary.converted} pictures in {summary.seconds:.0f} s, {summary.failed} failed"
    )
