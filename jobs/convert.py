"""photo2anime convert: the main job."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.run import Summary

EXIT_WITH_FAILURES = 3


def convert(
    manifest: Annotated[
        str, typer.Argument(help="A Parquet manifest, a folder of them, a glob, or a folder of pictures.")
    ],
    output: Annotated[str, typer.Option(help="Where pictures, records and report go: a folder or a bucket's address.")],
    recipe: Annotated[str, typer.Option(help="A recipe's name (see photo2anime recipes) or a YAML file.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: steps=8, controls.depth.scale=0.5."),
    ] = None,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="Pictures per photo.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first photos of the manifest.")] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster (auto, ray://host:port); else this machine.")
    ] = None,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when more of the pictures have failed.")
    ] = 1.0,
    keep_maps: Annotated[bool, typer.Option("--keep-maps", help="Keep the control maps beside the pictures.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCHEME", help="Let a remote manifest name local files (file), private addresses (private), …"
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPU converters to start; else as many as the cluster has.")
    ] = None,
    unit_size: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Rows computed, written and retried together.")
    ] = None,
    recipe_changed: Annotated[
        str, typer.Option(help="For an output of another recipe: refuse or reconvert.")
    ] = "refuse",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do again what failed for a passing reason.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what Ray says.")] = False,
) -> None:
    """Convert the photos of a manifest into anime pictures with provenance; run it again to go on or to add photos."""
    # Here, not above: the command line's help must not wait for pyarrow and fsspec.
    from pydantic import ValidationError

    from jobs.following import following
    from pipeline.faults import RunFault
    from pipeline.options import Options
    from pipeline.recipes import load_recipe
    from pipeline.run import convert as run

    try:
        options = Options(
            variants=variants, limit=limit, address=address, max_failure_rate=max_failure_rate, keep_maps=keep_maps,
            allow=frozenset(allow or ()), gpus=gpus, unit_size=unit_size, recipe_changed=recipe_changed,  # type: ignore[arg-type]  # checked by Options
            retry_failed=retry_failed, verbose=verbose,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise RunFault(f"--{'-'.join(map(str, first['loc']))}: {first['msg']}".replace("_", "-")) from error
    with following() as follower:
        summary = run(manifest, output, load_recipe(recipe, set_ or ()), options, follower)
    typer.echo(sentence(summary))
    if summary.failed_in_all:
        raise typer.Exit(EXIT_WITH_FAILURES)


def sentence(summary: "Summary") -> str:
    """Say in a line or two what a run did, and where the rest is to be read."""
    if not summary.converted and not summary.failed:
        done = f"Nothing to do: all {summary.earlier} rows of {summary.output} are done"
    else:
        done = f"{summary.converted} pictures in {summary.seconds:.0f} s, {summary.failed} failed"
        done += f", {summary.earlier} rows done before" if summary.earlier else ""
    failures = f"; {summary.failed_in_all} of all rows are recorded as failures" if summary.failed_in_all else ""
    return f"{done}{failures}.\nReport: {summary.output.rstrip('/')}/report/index.html"
