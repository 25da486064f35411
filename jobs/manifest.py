"""photo2anime manifest: list the photos of a folder or bucket."""

from typing import Annotated

import typer


def manifest(
    uri: Annotated[str, typer.Argument(help="A folder or bucket address with photos.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The Parquet file to write.")],
) -> None:
    """List the photos of a folder or bucket in a Parquet manifest. Reads the headers of the files, not the pixels."""
    from jobs.progress import show_progress
    from pipeline.plan.listing import list_photos
    from pipeline.storage import put_table

    with show_progress() as progress:
        photos = list_photos(uri, progress.listing)
    put_table(out, photos)
    unreadable = photos["width"].null_count
    note = f", {unreadable} without a readable header" if unreadable else ""
    typer.echo(f"{photos.num_rows} photos{note}: {out}")
