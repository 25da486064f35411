"""photo2anime demo: the photos that scikit-image ships, the whole way on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer


def demo(output: Annotated[Path, typer.Option(help="Where the demo writes.")] = Path("photo2anime-demo")) -> None:
    """Convert six real photos on this machine's CPU, and print what came out and where."""
    from jobs.contact_sheet import write_sheet
    from jobs.demo_photos import PHOTOS, write_demo_manifest
    from jobs.progress import show_progress
    from pipeline.output.report import current_units, read_rows
    from pipeline.run import convert
    from schemas.options import Options

    manifest = write_demo_manifest(output)
    typer.echo(f"Manifest of {len(PHOTOS)} photos: {manifest}")
    with show_progress() as follower:
        summary = convert(str(manifest), str(output / "anime"), "demo", Options(keep_maps=True, unit_size=2), follower)
    rows = read_rows(summary.output, current_units(summary.output))
    write_sheet(summary.output, rows, str(output / "sheet.png"))
    _print_table(rows, Path(summary.output))
    seconds = f" in {summary.seconds:.0f} s" if summary.converted else ", done before"
    typer.echo(f"{len(PHOTOS) - summary.failed_in_all} pictures{seconds}.")
    typer.echo("The model that drew them is small, trained for this demonstration: it draws, it does not compete.")
    typer.echo(f"To look at: {output}/sheet.png and {output}/anime/report/index.html")
    if summary.failed_in_all:
        raise typer.Exit(3)


def _print_table(rows: list[dict[str, Any]], output: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("photo", Column("picture", overflow="fold"), "control maps", "seconds", title=f"{output}/images")
    for row in rows:
        maps = ", ".join(f"{control['detector']} {control['origin']}" for control in row["controls"])
        spent = sum(seconds or 0 for seconds in row["seconds"].values())
        picture = Path(row["uri"]).name if row["uri"] else "failed"
        table.add_row(row["photo_id"], picture, maps, f"{spent:.1f}")
    Console().print(table)
