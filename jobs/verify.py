"""photo2anime verify: whether an output is what its plan says."""

from typing import Annotated

import typer

SHOWN = 20  # lines of each kind


def verify(
    output: Annotated[str, typer.Argument(help="The output of a run.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove orphans, and let the next run do damaged units again.")
    ] = False,
) -> None:
    """Read plan, records and pictures: is anything missing, doubled, orphaned or altered? Exit code 1 if so."""
    from pipeline.output.verify import repair as mend
    from pipeline.output.verify import verify as check

    findings = check(output)
    typer.echo(f"{findings.rows} rows of the plan, {findings.pictures} files named by records")
    for kind in ("missing", "doubled", "orphaned", "altered"):
        lines = getattr(findings, kind)
        for line in lines[:SHOWN]:
            typer.echo(f"{kind}: {line}")
        if len(lines) > SHOWN:
            typer.echo(f"{kind}: and {len(lines) - SHOWN} more")
    if findings.sound:
        typer.echo("Sound: nothing missing, doubled, orphaned or altered.")
        return
    if repair:
        mend(output, findings)
        removed, reopened = len(findings.orphaned_files), len(findings.damaged_units)
        typer.echo(f"Removed {removed} files, reopened {reopened} units: run convert again to do what is missing.")
    raise typer.Exit(1)
