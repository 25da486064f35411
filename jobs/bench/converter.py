"""photo2anime bench converter: pictures a second beside diffusers' plain calls, gain by gain and size by size."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import RecipeName, Set

if TYPE_CHECKING:
    from jobs.bench.throughput import Load, Measurement
    from schemas.recipe import Recipe

WIDTH = 160  # columns, that nothing of the table is cut
SD15_AREA = 768 * 768  # pixels at most; a recipe of larger pictures whose weights are not here is one for XL


def converter(
    recipe: RecipeName,
    batch_sizes: Annotated[str, typer.Option(help="Pictures drawn at once.")] = "1,4,8,16,32",
    set_: Set = None,
    random: Annotated[
        str | None,
        typer.Option(
            metavar="sd15|sdxl",
            help="Random weights of this architecture; where the recipe's are not to be had, by its area.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed; the fastest counts.")] = 3,
) -> None:
    """Measure a recipe's converter on this machine's GPU, or a core of it, and suggest its batch size.

    Beside it stand the call of a tutorial (batch 1, PIL pictures, no compilation) and diffusers with a batch.
    """
    from rich.console import Console
    from rich.progress import track

    wanted = _sizes(batch_sizes)

    from jobs.bench.throughput import Bench, suggested
    from pipeline.diffusion.generator import LOW_MEMORY_BATCH
    from pipeline.recipes.load import load_recipe

    chosen, load_models, told = _models(load_recipe(recipe, set_ or ()), random)
    sizes = [size for size in wanted if chosen.memory == "normal" or size <= LOW_MEMORY_BATCH]
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDTH))  # a log has no width of its own
    bench = Bench(chosen, sizes, rounds, load_models)
    progress = Console(stderr=True)
    rate = bench.rate()
    plain = list(track(bench.plain(), "diffusers", console=progress))
    ours = list(track(bench.sizes(), "batch sizes", console=progress))
    best = suggested(ours)
    gains = list(track(bench.gains(best), "gains", console=progress)) if best else []
    console.print(_table(chosen, told, rate, [*plain, *gains, *ours]))
    if best is None:
        console.print("No batch could be drawn.")
        raise typer.Exit(1)
    console.print(f"Suggested: --set batch_size={best}", highlight=False)
    if not bench.on_gpu:
        console.print("A run on a CPU draws one by one all the same, so that its pictures are the same to the bit.")


def _sizes(text: str) -> list[int]:
    """Return batch sizes. Raises `RunError` for a text that holds none."""
    from pipeline.errors import RunError

    sizes = [part.strip() for part in text.split(",")]
    if not all(size.isdecimal() and int(size) for size in sizes):
        message = f"--batch-sizes {text}: not numbers above 0"
        raise RunError(message, "Write them as 1,4,8.")
    return [int(size) for size in sizes]


def _models(recipe: "Recipe", random: str | None) -> tuple["Recipe", "Load", str]:
    """Return the recipe to measure, what loads its models if they are random, and how to tell."""
    from pipeline.diffusion.load import load_models
    from pipeline.errors import ModelError, RunError
    from pipeline.models.requirements import model_requirements
    from pipeline.models.resolve import locate

    if recipe.mode == "maps":
        message = f"recipe {recipe.name}: mode maps draws no picture"
        raise RunError(message, "Measure control maps with photo2anime bench maps.")
    alone = recipe.model_copy(update={"upscale": None})
    if random is None:
        try:
            for need in model_requirements(alone):
                locate(need)
        except ModelError as fault:
            random = "sdxl" if recipe.area > SD15_AREA else "sd15"
            typer.echo(f"{fault}\nRandom weights of {random}'s architecture are measured instead.", err=True)
        else:
            return alone, load_models, "its own weights"
    from jobs.bench.synthetic_diffusion import ARCHITECTURES, bare, loader

    if random not in ARCHITECTURES:
        message = f"--random {random}: there is no such architecture"
        raise RunError(message, f"There are {', '.join(ARCHITECTURES)}.")
    return bare(recipe), loader(ARCHITECTURES[random]), f"random weights of {random}'s architecture"


def _table(recipe: "Recipe", told: str, rate: float, rows: list["Measurement"]) -> Any:  # noqa: ANN401 - rich is imported late
    """Return the table: every row beside the tutorial's call, which is the first."""
    import torch
    from rich.table import Column, Table

    from jobs.bench import hardware

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    width, height = recipe.buckets[0]
    numbers = ("batch", "pictures/s", "x tutorial", "peak GiB", "warm-up s", "TFLOP/picture", "share of chip")
    table = Table(
        "way", *[Column(name, justify="right") for name in numbers], "note",
        title=f"{recipe.name}, {recipe.mode}, {width}x{height}, {recipe.steps} steps, {len(recipe.controls)} nets: "
        f"{told}, on {hardware.device_name(device)}, whose matrix product reaches {rate / 1e12:.3g} TFLOP/s",
    )  # fmt: skip
    first = rows[0].pace
    for row in rows:
        table.add_row(
            row.what,
            str(row.batch_size),
            _number(row.pace, "{:.3g}"),
            _number(row.pace and first and row.pace / first, "{:.2f}"),
            _number(row.peak and row.peak / 2**30, "{:.2f}"),
            _number(row.warming, "{:.1f}"),
            _number(row.flop and row.flop / 1e12, "{:.3g}"),
            _number(row.share(rate), "{:.0%}"),
            row.note,
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
