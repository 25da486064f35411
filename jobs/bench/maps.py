"""photo2anime bench maps: measure the detection of control maps against plain library calls."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from jobs.bench.timing import TimedRow


def maps(
    sizes: Annotated[str, typer.Option(help="The sides of the square photos, in pixels.")] = "512,1024",
    only: Annotated[list[str] | None, typer.Option(metavar="DETECTOR", help="Measure only these detectors.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DETECTOR=FOLDER", help="Use real weights. Without them, mediapipe and rtmpose are not measured."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The number of timings; the fastest counts.")] = 15,
) -> None:
    """Time detectors on one CPU thread. Unless --only is given, also time the steps from a JPEG to its canny map.

    Networks have random weights by default, which does not change their speed. Exits with 1 if a target is not met.
    """
    # Imported here so that the help of the command line starts fast.
    from rich.console import Console

    from jobs.bench.map_chain import chain_rows
    from jobs.bench.map_detectors import detector_rows
    from jobs.progress import track_items

    sides = [int(side) for side in sizes.split(",")]
    folders = {name: Path(folder) for name, _, folder in (option.partition("=") for option in weights or [])}
    rows = track_items(detector_rows(sides, folders, only or [], rounds), "detectors")
    rows += list(chain_rows(rounds)) if not only else []
    Console().print(_table(rows))
    if any(row.passed is False for row in rows):
        raise typer.Exit(1)


def _table(rows: list["TimedRow"]) -> "Table":
    from rich.table import Column, Table

    numbers = [Column(name, justify="right") for name in ("ms", "CPU s", "baseline ms", "ratio")]
    table = Table("photo2anime", "baseline", *numbers, "target", "passed", title="Control maps on one CPU thread")
    for row in rows:
        timing = row.timing
        times = f"{timing.milliseconds:.2f}", f"{timing.cpu_seconds:.4f}", f"{timing.baseline_milliseconds:.2f}"
        passed = {None: "", True: "yes", False: "NO"}[row.passed]
        table.add_row(row.name, row.baseline, *times, f"{timing.ratio:.2f}", row.target, passed)
    return table
