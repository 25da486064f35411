"""photo2anime bench converter: measure the throughput of image generation against diffusers."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import RecipeName, Set

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from jobs.bench.throughput import Load, Measurement
    from schemas.recipe import Recipe

LOGGER = logging.getLogger("photo2anime.bench")
MIN_WIDTH = 160  # characters per line, at least, if the output is not a terminal
SD15_AREA = 768 * 768  # pixels; above it, random weights have the architecture of XL by default


def converter(
    recipe: RecipeName,
    batch_sizes: Annotated[str, typer.Option(help="The batch sizes to measure.")] = "1,4,8,16,32",
    set_: Set = None,
    random: Annotated[
        str | None,
        typer.Option(
            metavar="sd15|sdxl",
            help="Use random weights of this architecture.",
            show_default="only if weights of the recipe are missing",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The number of timings; the fastest counts.")] = 3,
) -> None:
    """Measure image generation with a recipe on the GPU, or on one CPU core, and suggest a batch size.

    The baselines are the pipeline call that the diffusers documentation shows (one image, PIL images, no compilation)
    and the same call with a batch.
    """
    sizes = _parse_sizes(batch_sizes)
    # Imported here so that the help of the command line starts fast, and invalid sizes are reported fast.
    from jobs.bench.throughput import Bench, suggested
    from jobs.progress import track_items
    from pipeline.diffusion.generator import LOW_MEMORY_BATCH
    from pipeline.errors import OptionError
    from pipeline.recipes.load import load_recipe

    measured, load_models, weights = _models(load_recipe(recipe, set_ or ()), random)
    sizes = [size for size in sizes if measured.memory == "normal" or size <= LOW_MEMORY_BATCH]
    if not sizes:
        raise OptionError(f"--batch-sizes {batch_sizes}: memory: low supports 1 and {LOW_MEMORY_BATCH} only")
    bench = Bench(measured, sizes, rounds, load_models)
    rate = bench.matrix_rate()
    baseline = track_items(bench.plain(), "baseline")
    batched = track_items(bench.sizes(), "batch sizes")
    best = suggested(batched)
    optimized = track_items(bench.optimizations(best), "optimizations") if best else []
    console = _console()
    console.print(_table(measured, weights, rate, [*baseline, *optimized, *batched]))
    if best is None:
        console.print("Every batch size failed.")
        raise typer.Exit(1)
    console.print(f"Suggested: --set batch_size={best}", highlight=False)
    if not bench.on_gpu:
        console.print("On a CPU, convert always uses batch size 1, so that its images are reproducible to the bit.")


def _console() -> "Console":
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, MIN_WIDTH))


def _parse_sizes(text: str) -> list[int]:
    """Parse batch sizes such as 1,4,8. Raises `OptionError`."""
    from pipeline.errors import OptionError

    sizes = [part.strip() for part in text.split(",")]
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise OptionError(f"--batch-sizes {text}: not a list of positive numbers", "Write them as 1,4,8.")
    return [int(size) for size in sizes]


def _models(recipe: "Recipe", random: str | None) -> tuple["Recipe", "Load", str]:
    """Choose the models to measure.

    Args:
        recipe: The recipe, whose upscale is not measured.
        random: The architecture of random weights. By default, random weights are used for all models if weights of
            the recipe are missing.

    Returns:
        The recipe to measure, the function that loads its models, and a description of the weights.

    Raises:
        OptionError: `random` is an unknown architecture.
        RecipeError: The recipe does not generate images.
    """
    from pipeline.diffusion.load import load_models
    from pipeline.errors import ModelError, OptionError, RecipeError
    from pipeline.models.requirements import model_requirements
    from pipeline.models.resolve import locate

    if recipe.mode == "maps":
        raise RecipeError(
            f"recipe {recipe.name}: mode maps generates no images",
            "Measure control maps with photo2anime bench maps.",
        )
    first_pass = recipe.model_copy(update={"upscale": None})
    if random is None:
        try:
            for requirement in model_requirements(first_pass):
                locate(requirement)
        except ModelError as error:
            random = "sdxl" if recipe.area > SD15_AREA else "sd15"
            LOGGER.warning("%s The benchmark uses random weights of %s instead.", error, random)
        else:
            return first_pass, load_models, "recipe weights"
    from jobs.bench.synthetic_diffusion import ARCHITECTURES, random_model_loader, without_extra_models

    if random not in ARCHITECTURES:
        raise OptionError(f"--random {random}: unknown architecture", f"Choose {' or '.join(ARCHITECTURES)}.")
    loader = random_model_loader(ARCHITECTURES[random])
    return without_extra_models(recipe), loader, f"random weights of {random}"


def _table(recipe: "Recipe", weights: str, rate: float, rows: list["Measurement"]) -> "Table":
    """Return the table of measurements; the speedup is relative to the first row.

    Args:
        recipe: The measured recipe.
        weights: A description of the weights.
        rate: The measured rate of a matrix product, in FLOP/s.
        rows: The measurements.
    """
    import torch
    from rich.table import Column, Table

    from jobs.bench import hardware

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, height = recipe.buckets[0]
    numbers = ("batch", "images/s", "speedup", "peak GiB", "warm-up s", "TFLOP/image", "utilization")
    table = Table(
        "configuration", *[Column(name, justify="right") for name in numbers], "note",
        title=f"{recipe.name}, {recipe.mode}, {width}x{height}, {recipe.steps} steps, {len(recipe.controls)} "
        f"ControlNets, {weights}, {hardware.device_name(device)}, matrix product {rate / 1e12:.3g} TFLOP/s",
    )  # fmt: skip
    first = rows[0].pace
    for row in rows:
        table.add_row(
            row.name,
            str(row.batch_size),
            _format(row.pace, "{:.3g}"),
            _format(row.pace and first and row.pace / first, "{:.2f}"),
            _format(row.peak and row.peak / 2**30, "{:.2f}"),
            _format(row.warm_up_seconds, "{:.1f}"),
            _format(row.flop and row.flop / 1e12, "{:.3g}"),
            _format(row.utilization(rate), "{:.0%}"),
            row.note,
        )
    return table


def _format(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)
