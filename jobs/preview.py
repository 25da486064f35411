"""photo2anime preview: show the control maps of a few photos on one sheet, without Ray."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.terminal_text import escape_controls


def preview(
    photos: Annotated[list[str], typer.Argument(help="Paths or addresses of photos.")],
    recipe: options.RecipeName,
    out: Annotated[Path, typer.Option("-o", "--out", help="The PNG file to write.")],
    set_: options.Set = None,
    map_cache: options.MapCache = None,
    convert: Annotated[bool, typer.Option("--convert", help="Generate the images too.")] = False,
) -> None:
    """Show each photo with its control maps in one labelled row. With --convert, add the generated image."""
    from jobs.contact_sheet import sheet_png
    from pipeline import storage
    from pipeline.preview import preview_rows
    from pipeline.recipes.load import load_recipe
    from schemas.work import Failed

    note = logging.getLogger("photo2anime.preview").info
    rows = preview_rows(photos, load_recipe(recipe, set_ or ()), cache=map_cache, images=convert, note=note)
    storage.put(str(out), sheet_png(rows))
    failed = [row for row in rows if isinstance(row, Failed)]
    for row in failed:
        line = f"{storage.redact(row.planned.photo_id)}: {row.failure.code}: {row.failure.message}"
        typer.echo(escape_controls(line))
    typer.echo(f"{len(rows) - len(failed)} of {len(rows)} photos: {out}")
    if failed:
        raise typer.Exit(options.EXIT_WITH_FAILURES)
