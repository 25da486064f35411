"""photo2anime demo: convert sample photos of scikit-image with the demo model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.terminal_text import output_console

if TYPE_CHECKING:
    from pipeline.run import Summary
    from schemas.provenance import RecordRow


def demo(output: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("photo2anime-demo")) -> None:
    """Convert six sample photos on this machine with a small model, and print a table of the images."""
    from jobs.contact_sheet import write_sheet
    from jobs.demo_photos import PHOTOS, write_demo_manifest
    from jobs.progress import show_progress
    from pipeline.output.current_rows import current_rows
    from pipeline.run import convert
    from schemas.options import Options

    manifest = write_demo_manifest(output)
    typer.echo(f"Manifest of {len(PHOTOS)} photos: {manifest}")
    with show_progress() as progress:
        summary = convert(str(manifest), str(output / "anime"), "demo", Options(keep_maps=True, unit_size=2), progress)
    rows = current_rows(summary.output, len(PHOTOS))
    write_sheet(summary.output, rows, str(output / "sheet.png"))
    _print_table(rows, Path(summary.output))
    typer.echo(describe(summary, len(PHOTOS)))
    typer.echo("The demo model is small and shows that the pipeline works. Its images do not compete with real models.")
    typer.echo(f"Results: {output}/sheet.png and {output}/anime/report/index.html")
    if summary.failed_in_all:
        raise typer.Exit(3)


def describe(summary: "Summary", photos: int) -> str:
    """Return the text for the summary of a demo with a number of photos."""
    end = ", done by an earlier run" if summary.earlier and not summary.converted else f" in {summary.seconds:.0f} s"
    return f"{photos - summary.failed_in_all} images{end}."


def _print_table(rows: "list[RecordRow]", output: Path) -> None:
    from rich.table import Column, Table

    table = Table("photo", Column("image", overflow="fold"), "control maps", "seconds", title=f"{output}/images")
    for row in rows:
        maps = ", ".join(f"{control.detector} {control.origin}" for control in row.controls)
        seconds = sum(stage or 0 for stage in asdict(row.seconds).values())
        image = row.uri.removeprefix("images/") if row.uri else "failed"
        table.add_row(row.photo_id, image, maps, f"{seconds:.1f}")
    output_console().print(table)
