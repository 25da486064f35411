"""Evaluate the demo model: `python -m jobs.demo_model.evaluate` prints one table."""

from functools import partial
from typing import Annotated

import typer

from jobs.app import run_command


def evaluate(
    photos: Annotated[
        str | None, typer.Option(help="A folder of photos to measure on, in place of scikit-image's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipes, but for scales and speed."),
    ] = None,
    *,
    speed: Annotated[bool, typer.Option(help="Also time whole photos, on two processes.")] = True,
) -> None:
    """Measure the demo model: each net alone, switched off and shifted; palettes, guidance, seeds, and speed.

    Exits with 1 where a figure does not hold.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Column, Table

    from jobs.demo_model import eval_inputs
    from jobs.demo_model.metrics_table import all_figures
    from jobs.demo_model.speed import speed_figures

    chosen, changes = eval_inputs.photos(photos), settings or []
    numbers = Column("value", justify="right"), Column("beside", justify="right")
    table = Table(
        "figure", *numbers, "what is beside it", "wanted", "holds",
        title=f"The demo model on {len(chosen)} photos, people and depths that it was not trained on",
    )  # fmt: skip
    measured = list(track(all_figures(chosen, changes), "measuring", console=Console(stderr=True)))
    measured += speed_figures() if speed else []
    for figure in measured:
        held = "yes" if figure.holds else "NO"
        table.add_row(
            figure.what, f"{figure.value:.2f}", f"{figure.beside:.2f}", figure.beside_what, figure.wanted, held
        )
    Console().print(table)
    if not all(figure.holds for figure in measured):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(partial(typer.run, evaluate))
