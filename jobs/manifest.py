"""photo2anime manifest: list the photos of a folder or bucket."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import Address, Verbose

if TYPE_CHECKING:
    from pipeline.plan.headers import HeaderReader

Headers = Annotated[
    bool,
    typer.Option("--headers/--no-headers", help="Read width and height from the headers of the files, or omit them."),
]
Rate = Annotated[
    float | None, typer.Option(min=0.01, help="Read at most N headers per second in all.", show_default="no limit")
]


def manifest(
    uri: Annotated[str, typer.Argument(help="A folder or bucket address with photos.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The Parquet file to write.")],
    address: Address = None,
    headers: Headers = True,
    rate: Rate = None,
    verbose: Verbose = False,
) -> None:
    """List the photos of a folder or bucket in a Parquet manifest. Reads the headers of the files, not the pixels.

    After an interruption, the same command reads only the headers that it has not read yet. Later, it reads the headers
    of new and changed photos.
    """
    from jobs.progress import show_progress
    from pipeline.plan.listing import ListingOptions, write_listing

    readers = _header_reader(address, rate, verbose=verbose) if headers else nullcontext()
    with readers as reader, show_progress() as progress:
        options = ListingOptions(reader, known=out, parts=f"{out}.parts")
        listing = write_listing(uri, out, options, progress.listing)
    missing = listing.photos - listing.sizes
    note = f", {missing} without a readable header" if headers and missing else ""
    typer.echo(f"{listing.photos} photos{note}: {out}")


@contextmanager
def _header_reader(address: str | None, rate: float | None, *, verbose: bool) -> Iterator["HeaderReader"]:
    """Return the reader of headers, which uses threads, or with an address the tasks of a Ray cluster."""
    from pipeline.plan.headers import ThreadedReader
    from pipeline.quiet import silence_ray

    if address is None:
        yield ThreadedReader(rate)
        return
    if not verbose:
        silence_ray()
    from pipeline.execution.cluster import connect_ray
    from pipeline.execution.listing import RayReader

    with connect_ray(address, verbose=verbose):
        yield RayReader(rate)
