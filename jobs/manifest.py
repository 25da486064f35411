"""photo2anime manifest: list a folder or bucket of pictures."""

from typing import Annotated

import typer


def manifest(
    uri: Annotated[str, typer.Argument(help="A folder or bucket of pictures.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The Parquet file to write.")],
) -> None:
    """List a folder or bucket of pictures into a Parquet manifest; headers are read, pixels are not."""
    from jobs.progress import show_progress
    from pipeline.plan.manifest import list_photos
    from pipeline.storage import put_table

    with show_progress() as follower:
        photos = list_photos(uri, follower.listing)
    put_table(out, photos)
    unread = photos["width"].null_count
    note = f", {unread} without a readable header" if unread else ""
    typer.echo(f"{photos.num_rows} photos{note}: {out}")
