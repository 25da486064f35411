"""photo2anime bench flow: measure the flow through Ray Data with synthetic photos and a converter that only waits."""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jobs.bench.measurement import BUSY, busy_core_seconds, core_count, describe_load, sampled_memory

if TYPE_CHECKING:
    from jobs.bench.measurement import MemorySamples
    from pipeline.plan.remaining import RemainingWork
    from pipeline.steps.chain import Chain

TINY = 8  # pixels; the side of photos in runs without a converter
REPORTED = 200  # rows that a report shows
PHOTOS, LATENCY = 32, 0.1  # for the measurement of fetch: files, and seconds until the server answers


@dataclass(frozen=True)
class FlowTimes:
    """The measurements of one flow.

    Attributes:
        rows: The number of rows.
        first: The seconds from the start of the flow to the first finished row.
        rest: The seconds from the first to the last finished row.
        first_rows: The rows that were finished first, together.
        memory: The private memory of this process during the flow.
        busy: The share of the time between its first and last call that the converter was in its call.
        driver: The share of one core that this process used.
        cores: The share of all cores of the machine that any process used.
        records: The number of records.
        report: The seconds of the query for the report of the run.
    """

    rows: int
    first: float
    rest: float
    first_rows: int
    memory: "MemorySamples"
    busy: float
    driver: float
    cores: float
    records: int
    report: float

    @property
    def rate(self) -> float:
        """Rows per second after the first rows."""
        return (self.rows - self.first_rows) / max(self.rest, 1e-9)

    @property
    def bound(self) -> str:
        """What limits the speed."""
        shares = {"the converter": self.busy, "CPU of the driver": self.driver, "CPU of the machine": self.cores}
        return next((name for name, share in shares.items() if share > BUSY), "waiting")

    def figures(self) -> dict[str, str]:
        """Return the measurements as text."""
        return {
            "first row of this flow": f"{self.first:.1f} s",
            "all rows": f"{self.first + self.rest:.1f} s",
            "rows after the first": f"{self.rate:,.0f} per second",
            "converter in its call": f"{self.busy:.1%}",
            "CPU of the driver / of the machine": f"{self.driver:.1f} / {self.cores * core_count():.1f} cores",
            "bound by": self.bound,
            "memory of the driver (smallest / median / largest)": self.memory.describe(),
            "records": f"{self.records:,}",
            "query of all records for the report": f"{self.report:.1f} s",
        }


def flow(
    rows: Annotated[int, typer.Option(min=1, help="The number of photos.")] = 10_000,
    work: Annotated[
        Literal["none", "gpu"], typer.Option(help="What the converter does: nothing, or wait 25 ms.")
    ] = "none",
    size: Annotated[int | None, typer.Option(min=1, help="The side of the photos.", show_default="8, or 512")] = None,
    unit_size: Annotated[int | None, typer.Option(min=1, max=1024, help="The rows of a unit.")] = None,
) -> None:
    """Run the flow with synthetic photos and without models, and write records of them to a temporary folder.

    With --work gpu, the converter waits 0.2 s for 8 photos of 512x512 pixels with three control maps each.
    """
    from rich.console import Console
    from rich.table import Column, Table

    logging.getLogger("photo2anime").setLevel(logging.ERROR)
    side, load = size or (TINY if work == "none" else 512), describe_load()
    table = Table(
        Column("what"),
        Column("figure", justify="right"),
        title=f"{rows:,} photos of {side}x{side}, --work {work}, {load} before",
    )
    with tempfile.TemporaryDirectory(prefix="p2a-bench-") as folder:
        begin = time.perf_counter()
        import ray.data  # noqa: F401 - the import is measured

        from jobs.bench.fetch import measure_fetch
        from pipeline.execution.cluster import connect_ray
        from pipeline.execution.pools import Budget, configure_ray_data

        imported = time.perf_counter()
        configure_ray_data(Budget())  # for the empty flow too, which would print the log of Ray Data
        with connect_ray(None):
            started = time.perf_counter()
            baseline = measure_empty_flow()
            times = measure_flow(Path(folder), rows, side, work, unit_size)
        fetch = measure_fetch(PHOTOS, LATENCY)
    figures = {
        "import Ray Data": f"{imported - begin:.1f} s",
        "start Ray": f"{started - imported:.1f} s",
        "first row of an empty flow of Ray Data": f"{baseline:.1f} s",
        **times.figures(),
        f"fetch {PHOTOS} photos, {LATENCY * 1000:.0f} ms away": f"{fetch:.2f} s",
    }
    for name, figure in figures.items():
        table.add_row(name, figure)
    Console().print(table)


def measure_empty_flow() -> float:
    """Return the seconds until Ray Data returns the first row of a flow with one function that does nothing."""
    import ray.data

    begin = time.perf_counter()
    next(iter(ray.data.range(8, override_num_blocks=8).map_batches(_unchanged).iter_rows()))
    return time.perf_counter() - begin


def measure_flow(folder: Path, rows: int, size: int, work: str, unit_size: int | None) -> FlowTimes:
    """Plan a synthetic manifest, and run the flow with stand-ins for its steps."""
    from jobs.bench.events import read_events
    from jobs.bench.plan import write_manifest
    from jobs.bench.stand_ins import GPU_SECONDS
    from pipeline.execution import pools
    from pipeline.execution.progress import RunProgress
    from pipeline.output.current_rows import count_rows
    from pipeline.output.provenance import done_units
    from pipeline.run import convert_units
    from schemas.options import Options

    write_manifest(folder / "photos.parquet", rows)
    remaining, chain = _plan(folder, size, unit_size, 0 if work == "none" else GPU_SECONDS)
    cluster = pools.cluster_resources(pools.Budget())
    pools.configure_ray_data(pools.Budget())
    resources = pools.step_resources(cluster, pools.PoolSizes(1, 1), frozenset())
    resources.by_pool["gpu"]["num_cpus"] = 0  # the converter waits

    class FirstRow(RunProgress):
        seconds, rows = 0.0, 0

        def advance(self, done: int, failed: int) -> None:
            if not self.rows:
                self.seconds, self.rows = time.perf_counter() - begin, done + failed

    first, log = FirstRow(), logging.LoggerAdapter(logging.getLogger("photo2anime.bench"), {})
    begin, driver, cores = time.perf_counter(), time.process_time(), busy_core_seconds()
    with sampled_memory() as memory:
        convert_units(remaining, chain, resources, Options(), first, log)
    seconds = time.perf_counter() - begin
    driver, cores = (time.process_time() - driver) / seconds, (busy_core_seconds() - cores) / seconds / core_count()
    calls = read_events(folder / "calls")
    busy = sum(call.end - call.begin for call in calls) / max(calls[-1].end - calls[0].begin, 1e-9)
    records = done_units(str(folder / "out"))
    begin = time.perf_counter()
    count_rows(str(folder / "out"), REPORTED)
    report = time.perf_counter() - begin
    return FlowTimes(
        rows, first.seconds, seconds - first.seconds, first.rows, memory, busy, driver, cores, len(records), report
    )


def _plan(folder: Path, size: int, unit_size: int | None, seconds: float) -> "tuple[RemainingWork, Chain]":
    """Plan the manifest of a folder, and return the work and the chain of stand-ins."""
    from jobs.bench import stand_ins
    from jobs.bench.plan import planned_work, prompt_renderer
    from pipeline.plan.remaining import store_plan
    from pipeline.storage.database import DEFAULT_MEMORY

    output, calls = folder / "out", folder / "calls"
    calls.mkdir()
    with planned_work(folder / "photos.parquet", output, 1, DEFAULT_MEMORY, unit_size) as (work, new):
        stored = store_plan(work, new, str(output))
    load = stand_ins.SyntheticPhotos(str(output), prompt_renderer(), size)
    return stored, stand_ins.stand_in_chain(load, calls, seconds)


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 - a batch of any format of Ray Data
    return batch
