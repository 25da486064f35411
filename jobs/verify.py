"""photo2anime verify: check an output for missing, duplicate, orphaned and altered rows and files."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import Address
from jobs.terminal_text import escape_controls
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from pipeline.output.findings import Findings

MAX_LINES = 20  # printed for each kind of problem


def verify(
    output: Annotated[str, typer.Argument(help="The output folder or bucket address of a run.")],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Delete files that no record names, rows that are recorded twice, and records of damaged units, which"
            " the next run converts again.",
        ),
    ] = False,
    sample: Annotated[
        str,
        typer.Option(
            help="The share of the images whose content is read, such as 1% or 0.01. All names and rows are compared."
        ),
    ] = "100%",
    address: Address = None,
) -> None:
    """Compare the plan, the records and the files of an output. Exits with 1 if it finds a problem.

    Problems are rows and files that are missing, duplicate, orphaned (not in a plan or record) or altered. With
    --address, the machines of the cluster read the images.
    """
    share = parse_share(sample)
    with _lease(output) if repair else nullcontext():  # a run writes images before their record
        findings = _verify(output, share, address)
        _print_findings(findings, share)
        if findings.files and not findings.checked:
            typer.echo("The content of no file was compared: choose a larger --sample.")
        if findings.valid:
            return
        _print_status(output)
        if repair:
            _repair(output, findings)
    raise typer.Exit(1)


@contextmanager
def _lease(output: str) -> Iterator[None]:
    """Hold the lease of an output. Raises `NotAnOutputError` if the folder is not an output."""
    from pipeline.output.lease import lease_of
    from pipeline.output.run_file import check_output

    check_output(output)
    with lease_of(output, "verify --repair") as lease:
        lease.acquire()
        yield


def _repair(output: str, findings: "Findings") -> None:
    """Repair an output, whose lease must be held, and print what was removed."""
    from pipeline.output.repair import repair

    repair(output, findings)
    removed, damaged, rows = (
        len(each) for each in (findings.orphaned_files, findings.damaged_units, findings.dropped_rows)
    )
    typer.echo(f"Removed {removed} file(s), {rows} row(s) and the records of {damaged} damaged unit(s).")
    if damaged or findings.missing_rows:
        typer.echo("Run convert again to convert what is missing, or to drop it with --removed-photos drop.")
    elif findings.unplanned_units:
        typer.echo("Run convert again to restore the plan, then verify again.")


def _print_status(output: str) -> None:
    """Print whether the last run is unfinished, which explains missing rows and orphaned files."""
    from pipeline.output.run_file import FINISHED, STOPPED, read_run_file

    status = (read_run_file(output) or {}).get("status")
    if status == STOPPED:
        typer.echo("The last run was stopped. Run the same command again to continue it.")
    elif status != FINISHED:
        typer.echo("A run is in progress, or was killed. Wait for it, or run the same command again to continue it.")


def parse_share(text: str) -> float:
    """Convert a share, such as `1%` or `0.01`, to a number from 0 to 1. Raises `OptionError` if it is invalid."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1
    if rest or not 0 <= share <= 1:
        raise OptionError(f"--sample {text}: not a share", "Write 1%, or a number from 0 to 1.")
    return share


def _verify(output: str, share: float, address: str | None) -> "Findings":
    from pipeline.output.verify import verify as compare

    if address is None:
        return compare(output, sample=share)
    # Imported here because Ray takes seconds to import.
    from pipeline import storage
    from pipeline.quiet import silence_ray

    silence_ray()
    from pipeline.execution.check_content import altered_files_on_ray
    from pipeline.execution.cluster import connect_ray

    with connect_ray(address):  # whose machines may have another working folder
        return compare(storage.absolute(output), sample=share, check_content=altered_files_on_ray)


def _print_findings(findings: "Findings", share: float) -> None:
    checked = f", {findings.checked} of them read" if share < 1 else ""
    typer.echo(f"{findings.rows} rows in the plan, {findings.files} files in the records{checked}")
    for kind in ("missing", "duplicate", "orphaned", "altered"):
        lines = getattr(findings, kind)
        for line in lines.first(MAX_LINES):
            typer.echo(f"{kind}: {escape_controls(line)}")
        if len(lines) > MAX_LINES:
            typer.echo(f"{kind}: and {len(lines) - MAX_LINES} more")
    if findings.valid:
        typer.echo("No problems found.")
