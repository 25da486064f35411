"""What commands that run a recipe over a manifest have in common: their arguments, and how a run is reported."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.run import Summary

EXIT_WITH_FAILURES = 3

Manifest = Annotated[str, typer.Argument(help="A Parquet manifest, a folder of them, a glob, or a folder of pictures.")]
Output = Annotated[str, typer.Option(help="Where results, records and report go: a folder or a bucket's address.")]
RecipeName = Annotated[str, typer.Option(help="A recipe's name (see photo2anime recipes) or a YAML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: steps=8, controls.depth.scale=0.5."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first photos of the manifest.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster (auto, ray://host:port); else this machine.")]
MaxFailureRate = Annotated[float, typer.Option(min=0, max=1, help="Stop when more of the rows have failed.")]
MapCache = Annotated[
    str | None, typer.Option(help="Keep control maps for other runs and recipes: a folder or a bucket's address.")
]
CompileCache = Annotated[
    str | None,
    typer.Option(help="Keep compiled models, which are code, for other runs: a folder or bucket of your own."),
]
Calibrate = Annotated[
    bool | None,
    typer.Option(
        "--calibrate/--no-calibrate", help="Measure some photos first, to size the pools; else if there is much work."
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCHEME", help="Let a remote manifest name local files (file), private addresses (private), …"
    ),
]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPU processes to start; else as many as the cluster has.")]
UnitSize = Annotated[int | None, typer.Option(min=1, max=1024, help="Rows computed, written and retried together.")]
RecipeChanged = Annotated[str, typer.Option(help="For an output of another recipe: refuse or reconvert.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Do again what failed for a passing reason.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what Ray says.")]


def run_and_report(context: typer.Context, sentence: Callable[["Summary"], str], *changes: str) -> None:
    """Run a command's recipe over its manifest, print what was done, and exit with 3 for failures.

    `context` holds the command's arguments, `changes` further settings of the recipe.
    """
    # Here, not above: the command line's help must not wait for pyarrow and fsspec.
    from pydantic import ValidationError

    from jobs.progress import show_progress
    from pipeline.errors import RunError
    from pipeline.recipes.load import load_recipe
    from pipeline.run import convert
    from schemas.options import Options

    given = dict(context.params)
    manifest, output = given.pop("manifest"), given.pop("output")
    recipe = load_recipe(given.pop("recipe"), [*(given.pop("set_") or ()), *changes])
    try:
        options = Options.model_validate(given | {"allow": frozenset(given["allow"] or ())})
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"--{'-'.join(map(str, first['loc']))}: {first['msg']}".replace("_", "-")) from error
    with show_progress() as follower:
        summary = convert(manifest, output, recipe, options, follower)
    typer.echo(sentence(summary))
    if summary.failed_in_all:
        raise typer.Exit(EXIT_WITH_FAILURES)


def summary_line(summary: "Summary", done: str) -> str:
    """Say after what was done how many rows were done before and failed in all, and where the rest is to be read."""
    if not summary.converted and not summary.failed:
        done = f"Nothing to do: all {summary.earlier} rows of {summary.output} are done"
    elif summary.earlier:
        done += f", {summary.earlier} rows done before"
    failures = f"; {summary.failed_in_all} of all rows are recorded as failures" if summary.failed_in_all else ""
    return f"{done}{failures}.\nReport: {summary.output.rstrip('/')}/report/index.html"
