"""photo2anime bench plan: measure how long planning takes, and how much memory it needs."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jobs.bench.measurement import Part
    from pipeline.plan.preflight import RunPlan

LEFT_ROWS = 1000  # rows that the second run still has to convert
RECIPE = "demo"


def plan(
    rows: Annotated[int, typer.Option(min=1, help="The number of photos.")] = 100_000,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="The number of images for each photo.")] = 1,
    memory: Annotated[str, typer.Option(help="The memory for planning.")] = "2GB",
) -> None:
    """Plan a synthetic manifest: for a new output, and again with all but about 1,000 rows done.

    All checks before a run are included, up to the moment at which the first unit is loaded. Each part runs in this
    process, so that the peak memory is that of all parts so far.
    """
    from rich.console import Console

    from jobs.bench.measurement import core_count, parts_table

    with tempfile.TemporaryDirectory(prefix="p2a-bench-") as folder:
        parts = measure_planning(Path(folder), rows, variants, memory)
    title = f"{rows:,} photos, {variants} variants, {core_count()} cores, {memory} for planning"
    Console().print(parts_table(parts, title))


def measure_planning(folder: Path, rows: int, variants: int, memory: str) -> "list[Part]":
    """Measure the planning of a new output and of one with little left to do."""
    from jobs.bench.measurement import measure
    from pipeline.output import plan_store
    from pipeline.plan.preflight import preflight
    from pipeline.recipes.load import load_recipe
    from schemas.options import Options

    manifest, output, recipe = folder / "photos.parquet", folder / "out", load_recipe(RECIPE)
    write_manifest(manifest, rows)
    options = Options.model_validate({"variants": variants, "plan_memory": memory})
    written: list[Part] = []

    def plan_first_run() -> None:
        with preflight(str(manifest), str(output), recipe, options, lambda _done, _photos: None) as run:
            new = run.new
            if new is None:
                raise RuntimeError("the new output has a plan already")
            written.append(measure("write the plan", new.rows, lambda: plan_store.write_plan(str(output), new)))

    def plan_second_run() -> None:
        with preflight(str(manifest), str(output), recipe, options, lambda _done, _photos: None) as run:
            _load_first_unit(run)

    first = measure("plan a new output", rows * variants, plan_first_run).without(written[0])
    _record_units(output)
    again = measure(f"plan again, all but {LEFT_ROWS:,} rows done", rows * variants, plan_second_run)
    return [first, *written, again]


def write_manifest(path: Path, rows: int) -> None:
    """Write a manifest of photos in a bucket that is not read, with two sizes, etags and captions."""
    from pipeline.storage.database import literal, open_database

    columns = [
        "printf('set/%05d/%09d.jpg', i // 1000, i) AS photo_id",
        "printf('/photos/%05d/%09d.jpg', i // 1000, i) AS uri",
        "CASE WHEN i % 3 = 0 THEN 1024 ELSE 768 END AS width",
        "CASE WHEN i % 3 = 0 THEN 768 ELSE 1024 END AS height",
        "md5(i::VARCHAR) AS etag",
        "printf('a photo number %d of a street', i) AS caption",
    ]
    with open_database() as database:
        query = f"SELECT {', '.join(columns)} FROM range({rows}) t(i)"  # noqa: S608 - constants and a number
        database.run(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")


def _record_units(output: Path) -> None:
    """Mark all units of a plan as done, except the last ones. Runs list the names of records, and do not read them."""
    from pipeline.output import plan_store, run_file
    from pipeline.output.run_file import RunMetadata
    from pipeline.recipes.load import load_recipe

    run_file.write_run_file(str(output), RunMetadata("bench", load_recipe(RECIPE), "", None), {"status": "running"})
    (stored,) = plan_store.read_plans(str(output))
    (output / "provenance").mkdir()
    units = stored.units.to_pylist()
    left = 0
    while units and left < LEFT_ROWS:
        left += units.pop()["rows"]
    for unit in units:
        (output / "provenance" / f"{unit['unit']}.parquet").touch()


def _load_first_unit(run: "RunPlan") -> None:
    from pipeline.plan.load_unit import load_unit
    from pipeline.recipes.prompts import PromptRenderer
    from schemas.arrow import to_rows
    from schemas.work import Unit

    load_unit(to_rows(run.work.units.slice(0, 1), Unit)[0], PromptRenderer(run.recipe, run.prompt_columns))
