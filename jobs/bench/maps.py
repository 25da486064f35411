"""photo2anime bench maps: what each control map costs, beside the bare library call on the same pixels."""

from pathlib import Path
from typing import Annotated

import typer


def maps(
    sizes: Annotated[str, typer.Option(help="Sides of the square photo, in pixels.")] = "512,1024",
    only: Annotated[list[str] | None, typer.Option(metavar="DETECTOR", help="Measure these alone.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="DETECTOR=FOLDER", help="Real weights; mediapipe and rtmpose are not measured without."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed; the fastest counts.")] = 15,
) -> None:
    """Time every detector on one CPU thread, and a 12-megapixel JPEG from its file to its canny map.

    Networks have random weights: their speed is the same. Exits with 1 where a figure that is wanted does not hold.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Column, Table

    from jobs.bench.map_chain import chain_rows
    from jobs.bench.map_detectors import detector_rows

    sides = [int(side) for side in sizes.split(",")]
    folders = {name: Path(folder) for name, _, folder in (given.partition("=") for given in weights or [])}
    numbers = [Column(name, justify="right") for name in ("ms", "CPU-s", "bare ms", "ratio")]
    table = Table("what", "beside", *numbers, "wanted", "holds", title="Control maps on one thread")
    timed = detector_rows(sides, folders, only or [], rounds)
    measured = list(track(timed, "measuring", console=Console(stderr=True)))
    measured += list(chain_rows(rounds)) if not only else []
    for row in measured:
        times = f"{row.timing.milliseconds:.2f}", f"{row.timing.cpu_seconds:.4f}", f"{row.timing.bare_milliseconds:.2f}"
        held = {None: "", True: "yes", False: "NO"}[row.holds]
        table.add_row(row.what, row.beside, *times, f"{row.timing.ratio:.2f}", row.wanted, held)
    Console().print(table)
    if any(row.holds is False for row in measured):
        raise typer.Exit(1)
