"""photo2anime manifest: list the photos of a folder or bucket."""

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import Address, Verbose
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.plan.listing import ListingOptions

Headers = Annotated[
    bool,
    typer.Option("--headers/--no-headers", help="Read width and height from the headers of the files, or omit them."),
]
Rate = Annotated[
    float | None,
    typer.Option(min=0.01, max=1e6, help="Read at most N headers per second in all.", show_default="no limit"),
]


def manifest(
    uri: Annotated[str, typer.Argument(help="A folder or bucket address with photos.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The .parquet file to write.")],
    address: Address = None,
    headers: Headers = True,
    rate: Rate = None,
    verbose: Verbose = False,
) -> None:
    """List the photos of a folder or bucket in a Parquet manifest. Reads the headers of the files, not the pixels.

    After an interruption, the same command reads the other headers only; later, those of new and changed photos.
    """
    if not out.lower().endswith(".parquet"):
        raise OptionError("--out: the name does not end with .parquet", "Name a .parquet file.")
    if rate and not headers:
        raise OptionError("--rate: has no effect with --no-headers", "Omit one of the two.")
    from jobs.progress import show_progress
    from pipeline.plan.listing import write_listing

    with _listing_options(address, rate, headers=headers, verbose=verbose) as options, show_progress() as progress:
        listing = write_listing(uri, out, replace(options, known=out, parts=f"{out}.parts"), progress.listing)
    missing = listing.photos - listing.sizes
    note = f", {missing} without a readable header" if headers and missing else ""
    typer.echo(f"{listing.photos} photos{note}: {out}")


@contextmanager
def _listing_options(
    address: str | None, rate: float | None, *, headers: bool, verbose: bool
) -> "Iterator[ListingOptions]":
    """Return the options of a listing by this process, or by a Ray cluster if an address is given."""
    from pipeline.plan.headers import ThreadedReader
    from pipeline.plan.listing import ListingOptions
    from pipeline.quiet import silence_ray

    if address is None:
        yield ListingOptions(ThreadedReader(rate) if headers else None)
        return
    if not verbose:
        silence_ray()
    from pipeline.execution.cluster import connect_ray
    from pipeline.execution.listing import RayReader, walk_on_ray

    with connect_ray(address, verbose=verbose):
        yield ListingOptions(RayReader(rate) if headers else None, walk=walk_on_ray)
