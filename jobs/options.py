"""Options of several commands, and the function that runs the commands convert and maps."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.logging_setup import LogFormat, LogLevel, configure_logging

if TYPE_CHECKING:
    from pipeline.run import Summary
    from schemas.options import Options

EXIT_WITH_FAILURES = 3

LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option("--log-level", metavar="LEVEL", help="The least severe level to log: debug, info, warning or error."),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        metavar="FORMAT",
        help="The format of the log on standard error: text, or json with one object a line.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only, and show no progress bar.")]

Manifest = Annotated[
    str,
    typer.Argument(help="A Parquet, CSV or JSON lines file, a folder of Parquet files, a glob, or a folder of photos."),
]
Output = Annotated[
    str, typer.Option(metavar="FOLDER", help="The folder or bucket address for images, records and the report.")
]
RecipeName = Annotated[
    str, typer.Option(metavar="RECIPE", help="The name of a recipe (see photo2anime recipes), or a YAML file.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the recipe, such as steps=8 or strength=0.5.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Use only the first N photos of the manifest.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="The address of a Ray cluster (auto, ray://host:port).", show_default="this machine"
    ),
]
MaxFailureRate = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Stop if more than this share of the last 1,000 rows failed. In a smaller run, only if it is given.",
        show_default="0.99",
    ),
]
MapCache = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="A folder or bucket address that caches control maps across runs and recipes."),
]
CompileCache = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="A trusted folder or bucket address that caches compiled models across runs. It contains executable code.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCHEME",
        help="Allow more addresses: local files in a remote manifest (file), private hosts (private), or a scheme.",
    ),
]
Gpus = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="The number of GPU workers.", show_default="all GPUs")
]
Cpus = Annotated[
    float | None, typer.Option(min=1, metavar="N", help="The number of CPU cores to use.", show_default="all cores")
]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="The memory of all worker processes, such as 16GB.")]
ObjectStoreMemory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="The memory for rows between the steps, such as 4GB.")
]
PlanMemory = Annotated[
    str, typer.Option(metavar="SIZE", help="The memory for planning, such as 2GB. More than that is on disk.")
]
FetchTimeout = Annotated[
    int, typer.Option(metavar="SECONDS", help="The longest time for one file of a photo, with all attempts.")
]
ConnectTimeout = Annotated[
    int, typer.Option(metavar="SECONDS", help="The longest time until a web server accepts a connection.")
]
ReadTimeout = Annotated[
    int, typer.Option(metavar="SECONDS", help="The longest time between two parts of a file from a web server.")
]
MaxPhotoSize = Annotated[
    str, typer.Option(metavar="SIZE", help="The largest file of a photo, after decompression, such as 256MiB.")
]
MaxPixels = Annotated[
    int, typer.Option(metavar="N", help="The largest number of pixels of a photo to decode. It decides the memory.")
]
FetchThreads = Annotated[int, typer.Option(metavar="N", help="The number of files that one process reads at once.")]
UnitSize = Annotated[
    int | None,
    typer.Option(min=1, max=1024, metavar="N", help="The number of rows computed, written and retried together."),
]
RecipeChanged = Annotated[
    str,
    typer.Option(
        metavar="refuse|reconvert",
        help="If the output was written with another recipe: refuse the run, or reconvert its photos.",
    ),
]
RemovedPhotos = Annotated[
    str,
    typer.Option(
        metavar="keep|drop",
        help="If planned photos without an image have left the manifest: keep or drop their rows.",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Retry rows that failed with a temporary error, such as a network error.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the log of Ray.")]


def run_and_report(context: typer.Context, describe: Callable[["Summary"], str], *settings: str) -> None:
    """Run convert or maps, print the summary, and exit with 3 if the output has failed rows, also of earlier runs.

    Args:
        context: The context of the command, which holds its arguments.
        describe: Returns the text to print for the summary of the run.
        settings: Settings of the recipe, which are added to those of --set.
    """
    # Imported here because pyarrow and fsspec take long to import, and the help of the command line needs neither.
    from jobs.progress import show_progress
    from pipeline.recipes.load import load_recipe
    from pipeline.run import convert

    arguments = dict(context.params)
    _override_logging(context, arguments)
    manifest, output = arguments.pop("manifest"), arguments.pop("output")
    recipe = load_recipe(arguments.pop("recipe"), [*(arguments.pop("set_") or ()), *settings])
    options = _parse_options(arguments)
    with show_progress() as progress:
        summary = convert(manifest, output, recipe, options, progress)
    typer.echo(describe(summary))
    if summary.failed_in_all:
        raise typer.Exit(EXIT_WITH_FAILURES)


def summary_line(summary: "Summary", result: str) -> str:
    """Return the text for the summary of a run.

    Args:
        summary: The summary.
        result: What this run did. Replaced if the run had nothing to do.
    """
    if not summary.converted and not summary.failed:
        result = f"Nothing to do: all {summary.earlier} rows of {summary.output} were processed before"
    elif summary.earlier:
        result += f", {summary.earlier} rows processed before"
    failures = f"; {summary.failed_in_all} row(s) of the output are failures" if summary.failed_in_all else ""
    return f"{result}{failures}.\nReport: {summary.output.rstrip('/')}/report/index.html"


def _override_logging(context: typer.Context, arguments: dict[str, Any]) -> None:
    """Configure logging. An option after the name of the command overrides the same option before it."""
    defaults = context.find_root().params
    level, log_format, quiet = (arguments.pop(name) or defaults[name] for name in ("log_level", "log_format", "quiet"))
    configure_logging(level, log_format, quiet=quiet)


def _parse_options(arguments: dict[str, Any]) -> "Options":
    from pydantic import ByteSize, ValidationError

    from pipeline.errors import OptionError
    from schemas.options import Options

    try:
        return Options.model_validate(arguments | {"allow": frozenset(arguments["allow"] or ())})
    except ValidationError as error:
        first = error.errors()[0]
        option = "-".join(map(str, first["loc"])).replace("_", "-")
        if option.endswith(("memory", "size")) and option != "unit-size":
            problem = "invalid amount"
            if first["type"] == "greater_than_equal":
                problem = f"less than {ByteSize(first['ctx']['ge']).human_readable(decimal=True)}"
            elif first["type"] == "less_than_equal":
                problem = f"more than {ByteSize(first['ctx']['le']).human_readable(decimal=True)}"
            hint = "Write a number and a unit, such as 2GB."
            raise OptionError(f"--{option} {first['input']}: {problem}", hint) from error
        raise OptionError(f"--{option}: {first['msg']}") from error
