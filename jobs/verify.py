"""photo2anime verify: check an output for missing, duplicate, orphaned and altered rows and files."""

from typing import Annotated

import typer

MAX_LINES = 20  # printed for each kind of problem


def verify(
    output: Annotated[str, typer.Argument(help="The output folder or bucket address of a run.")],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Delete files that no record names, and records of damaged units, which the next run converts again.",
        ),
    ] = False,
) -> None:
    """Compare the plan, the records and the files of an output. Exits with 1 if it finds a problem.

    Problems are rows and files that are missing, duplicate, orphaned (not in a plan or record) or altered.
    """
    from pipeline.output import verify as checks

    findings = checks.verify(output)
    typer.echo(f"{findings.rows} rows in the plan, {findings.files} files in the records")
    for kind in ("missing", "duplicate", "orphaned", "altered"):
        lines = getattr(findings, kind)
        for line in lines[:MAX_LINES]:
            typer.echo(f"{kind}: {line}")
        if len(lines) > MAX_LINES:
            typer.echo(f"{kind}: and {len(lines) - MAX_LINES} more")
    if findings.valid:
        typer.echo("No problems found.")
        return
    if repair:
        checks.repair(output, findings)
        removed, damaged = len(findings.orphaned_files), len(findings.damaged_units)
        typer.echo(f"Removed {removed} files and the records of {damaged} damaged units.")
        if damaged or findings.missing_rows:
            typer.echo("Run convert again to convert what is missing.")
        elif findings.unplanned_units:
            typer.echo("Run convert again to restore the plan, then verify again.")
    raise typer.Exit(1)
