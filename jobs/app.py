"""The entry point: `photo2anime COMMAND`. Commands import heavy libraries inside their functions."""

import errno
import logging
import sys
import tempfile
from collections.abc import Callable

import typer

from jobs.bench.converter import converter
from jobs.bench.crossing import crossing
from jobs.bench.flow import flow
from jobs.bench.maps import maps as bench_maps
from jobs.bench.plan import plan as bench_plan
from jobs.bench.start import start
from jobs.convert import convert
from jobs.demo import demo
from jobs.explain import explain
from jobs.interruption import stop_on_signals
from jobs.logging_setup import configure_logging, report_error
from jobs.manifest import manifest
from jobs.maps import maps
from jobs.models import pull
from jobs.options import LogFormatOption, LogLevelOption, QuietOption
from jobs.preview import preview
from jobs.query import query
from jobs.recipes import list_recipes, lock, show
from jobs.standard_streams import STANDARD_OUTPUT, keep_streams_open
from jobs.verify import verify
from pipeline.errors import DiskFullError, RunError

app = typer.Typer(
    help="Convert datasets of photos to anime, with the provenance of every image.",
    epilog="Exit codes: 0 success; 1 the run ended early, or verify found a problem; 2 an error before the run started;"
    " 3 the run finished with failed rows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, manifest, preview, convert, maps, verify, query, explain):
    app.command()(command)
recipes = typer.Typer(invoke_without_command=True, callback=list_recipes)
recipes.command()(show)
recipes.command()(lock)
app.add_typer(recipes, name="recipes")
models = typer.Typer(help="Manage the weights of recipes.", no_args_is_help=True)
models.command()(pull)
app.add_typer(models, name="models")
bench = typer.Typer(help="Run benchmarks.", no_args_is_help=True)
bench.command("converter")(converter)
bench.command("crossing")(crossing)
bench.command("flow")(flow)
bench.command("plan")(bench_plan)
bench.command("maps")(bench_maps)
bench.command("start")(start)
app.add_typer(bench, name="bench")


@app.callback()
def configure(
    log_level: LogLevelOption = "info", log_format: LogFormatOption = "text", quiet: QuietOption = False
) -> None:
    """Apply the options that precede the name of the command."""
    configure_logging(log_level or "info", log_format or "text", quiet=quiet)


def main() -> None:
    """Run the command line."""
    keep_streams_open()
    # Some libraries add a handler to the root logger, which would write each log record a second time.
    logging.getLogger("photo2anime").propagate = False
    # Without a handler, Python would write the warnings of libraries about requests that are repeated anyway.
    logging.getLogger().addHandler(logging.NullHandler())
    run_command(app)


def run_command(command: Callable[[], None]) -> None:
    """Run a command. If it raises a `RunError`, write one line to standard error and exit with its `exit_code`.

    A full disk is reported as a `DiskFullError`, also where a temporary file is written.
    """
    stop_on_signals()
    try:
        command()
    except RunError as error:
        report_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "Free some space, or redirect it to another file." if error.filename == STANDARD_OUTPUT else None
        full = DiskFullError(f"{error.filename or tempfile.gettempdir()}: no space left", hint)
        report_error(full)
        sys.exit(full.exit_code)
