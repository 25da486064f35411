"""The command line: `photo2anime COMMAND`. Each command is a module beside this one; heavy imports wait in it."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import typer

from jobs.bench.converter import converter
from jobs.bench.maps import maps as bench_maps
from jobs.convert import convert
from jobs.demo import demo
from jobs.manifest import manifest
from jobs.maps import maps
from jobs.models import pull
from jobs.preview import preview
from jobs.recipes import list_recipes, lock, show
from jobs.verify import verify
from pipeline.errors import RunError, RunStoppedError

app = typer.Typer(
    help="Turn datasets of photos into anime, with the provenance of every picture.",
    epilog="Exit codes: 0 all done; 1 stopped, or unsound; 2 refused before any work; 3 finished, failures recorded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, manifest, preview, convert, maps, verify):
    app.command()(command)
recipes = typer.Typer(invoke_without_command=True, callback=list_recipes)
recipes.command()(show)
recipes.command()(lock)
app.add_typer(recipes, name="recipes")
models = typer.Typer(help="The weights that recipes name.", no_args_is_help=True)
models.command()(pull)
models.callback()(lambda: None)  # or typer would take the only command for the whole
app.add_typer(models, name="models")
bench = typer.Typer(help="Measure, and print one table.", no_args_is_help=True)
bench.command("converter")(converter)
bench.command("maps")(bench_maps)
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line."""
    run_command(app)


def run_command(command: Callable[[], None]) -> None:
    """Run a command; every fault of ours becomes one line and its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        command()
    except RunError as fault:
        print(f"photo2anime: {fault}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(fault.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End the run in order: Ray is stopped, its folder removed, and what was recorded stands."""
    message = "interrupted"
    raise RunStoppedError(message, "The same command goes on from here.")
