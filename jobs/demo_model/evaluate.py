"""Evaluate the demo model: `python -m jobs.demo_model.evaluate` prints a table of measured values and their bounds."""

from functools import partial
from typing import Annotated

import typer

from jobs.app import run_command


def evaluate(
    photos: Annotated[
        str | None, typer.Option(help="A folder of photos to use instead of the photos of scikit-image.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the recipes, such as steps=8. Not used by the speed measurement.",
        ),
    ] = None,
    *,
    speed: Annotated[
        bool, typer.Option(help="Also measure the seconds per photo while two processes convert photos at once.")
    ] = True,
) -> None:
    """Measure the effect of control maps, colour words, guidance and seeds on the demo model's images, and its speed.

    Exits with code 1 if a value is out of its bound.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Column, Table

    from jobs.demo_model import eval_inputs
    from jobs.demo_model.metrics_table import all_figures
    from jobs.demo_model.speed import speed_figures

    pixels, changes = eval_inputs.evaluation_photos(photos), settings or []
    numbers = Column("value", justify="right"), Column("baseline", justify="right")
    table = Table(
        "figure", *numbers, "the baseline is", "bound", "passed",
        title=f"The demo model on {len(pixels)} photos, and on skeletons and depth maps that it was not trained on",
    )  # fmt: skip
    figures = list(track(all_figures(pixels, changes), "measuring", console=Console(stderr=True)))
    figures += speed_figures() if speed else []
    for figure in figures:
        passed = "yes" if figure.passed else "NO"
        values = f"{figure.value:.2f}", f"{figure.baseline:.2f}"
        table.add_row(figure.name, *values, figure.baseline_name, figure.bound, passed)
    Console().print(table)
    if not all(figure.passed for figure in figures):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(partial(typer.run, evaluate))
