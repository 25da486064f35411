"""photo2anime bench plan: measure how long planning takes, and how much memory it needs."""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.bench.measurement import Part
    from pipeline.output.plan_store import NewPlan
    from pipeline.plan.remaining import RemainingWork
    from pipeline.recipes.prompts import PromptRenderer

LEFT_ROWS = 1000  # rows that the second run still has to convert
RECIPE = "demo"


def plan(
    rows: Annotated[int, typer.Option(min=1, help="The number of photos.")] = 100_000,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="The number of images for each photo.")] = 1,
    memory: Annotated[str, typer.Option(help="The memory for planning.")] = "2GB",
) -> None:
    """Plan a synthetic manifest: for a new output, and again with all but about 1,000 rows done.

    The second plan ends when the first unit is loaded. All parts run in this process, so that the peak memory is that
    of all parts so far.
    """
    from rich.console import Console

    from jobs.bench.measurement import core_count, describe_load, parts_table

    load = describe_load()
    with tempfile.TemporaryDirectory(prefix="p2a-bench-") as folder:
        parts = measure_planning(Path(folder), rows, variants, memory)
    title = f"{rows:,} photos, {variants} variants, {core_count()} cores, {load} before, {memory} for planning"
    Console().print(parts_table(parts, title))


def measure_planning(folder: Path, rows: int, variants: int, memory: str) -> "list[Part]":
    """Measure the planning of a new output and of one with little left to do."""
    from jobs.bench.measurement import measure
    from pipeline.output import plan_store

    manifest, output = folder / "photos.parquet", folder / "out"
    write_manifest(manifest, rows)
    written: list[Part] = []

    def plan_first_run() -> None:
        with planned_work(manifest, output, variants, memory) as (_, new):
            if new is None:
                raise RuntimeError("the new output has a plan already")
            written.append(measure("write the plan", new.rows, lambda: plan_store.write_plan(str(output), new)))

    def plan_second_run() -> None:
        with planned_work(manifest, output, variants, memory) as (work, _):
            _load_first_unit(work)

    first = measure("plan a new output", rows * variants, plan_first_run).without(written[0])
    _record_units(output)
    again = measure(f"plan again, all but {LEFT_ROWS:,} rows done", rows * variants, plan_second_run)
    return [first, *written, again]


@contextmanager
def planned_work(
    manifest: Path, output: Path, variants: int, memory: str, unit_size: int | None = None
) -> "Iterator[tuple[RemainingWork, NewPlan | None]]":
    """Check and plan a manifest as a run does, without the checks of weights and of the disk, which has no room."""
    from pipeline.output import plan_store
    from pipeline.plan import plan as planning
    from pipeline.plan.manifest import open_manifest
    from pipeline.plan.remaining import remaining_work
    from pipeline.recipes.load import load_recipe
    from pipeline.storage.database import open_database

    with open_database(memory) as database:
        photos = open_manifest(str(manifest), database)
        opened = planning.open_planning(database, photos, load_recipe(RECIPE), variants)
        plans = plan_store.read_plans(str(output))
        new = planning.plan_new_rows(opened, plans, unit_size)
        work = remaining_work(opened, plans, new, str(output))
        database.close()
        yield work, new


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
    from pipeline.output import plan_store

    (stored,) = plan_store.read_plans(str(output))
    (output / "provenance").mkdir()
    units = stored.units.to_pylist()
    left = 0
    while units and left < LEFT_ROWS:
        left += units.pop()["rows"]
    for unit in units:
        (output / "provenance" / f"{unit['unit']}.parquet").touch()


def _load_first_unit(work: "RemainingWork") -> None:
    from pipeline.plan.load_unit import load_unit
    from schemas.arrow import to_rows
    from schemas.work import Unit

    load_unit(to_rows(work.units.slice(0, 1), Unit)[0], prompt_renderer())


def prompt_renderer() -> "PromptRenderer":
    """Return the renderer of the prompts of the recipe."""
    from pipeline.recipes.load import load_recipe
    from pipeline.recipes.prompts import PROMPT_COLUMNS, PromptRenderer

    return PromptRenderer(load_recipe(RECIPE), ["photo_id", *PROMPT_COLUMNS])
