"""photo2anime preview: what a recipe's detectors see in some photos, on one sheet, without Ray."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options as take


def preview(
    photos: Annotated[list[str], typer.Argument(help="Photos: files, or addresses of any kind.")],
    recipe: take.RecipeName,
    out: Annotated[Path, typer.Option("-o", "--out", help="The sheet to write, a PNG.")],
    set_: take.Set = None,
    map_cache: take.MapCache = None,
    convert: Annotated[bool, typer.Option("--convert", help="Draw the pictures too.")] = False,
) -> None:
    """Draw photos beside their control maps, and with --convert their pictures: one row each, every tile labelled."""
    from jobs.contact_sheet import sheet_png
    from pipeline import storage
    from pipeline.preview import preview_rows
    from pipeline.recipes.load import load_recipe

    rows = preview_rows(photos, load_recipe(recipe, set_ or ()), cache=map_cache, pictures=convert, note=_note)
    storage.put(str(out), sheet_png(rows))
    failed = [row for row in rows if row["failure"]]
    for row in failed:
        typer.echo(
            f"{row['photo_id']}: {row['failure']['error']} in {row['failure']['stage']}: {row['failure']['message']}"
        )
    typer.echo(f"{len(rows) - len(failed)} of {len(rows)} photos: {out}")
    if failed:
        raise typer.Exit(take.EXIT_WITH_FAILURES)


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)
