"""photo2anime bench start: measure what happens until the first images of the demo are written."""

import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.bench.events import Event
    from pipeline.plan.preflight import RunPlan
    from schemas.options import Options

UNIT_ROWS = 2  # as in `photo2anime demo`


def start() -> None:
    """Convert the photos of the demo, and list what happened until the first images were written.

    The baseline is the time until Ray Data returns the first row of a flow with one function that does nothing.
    """
    from rich.console import Console
    from rich.table import Column, Table

    logging.getLogger("photo2anime").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="p2a-bench-") as folder:
        before, events, baseline = measure_start(Path(folder))
    table = Table(Column("from, s", justify="right"), Column("to, s", justify="right"), "process", "what")
    flow = before[-1].end
    for event in [*before, *events]:
        table.add_row(f"{event.begin:.1f}", f"{event.end:.1f}", event.step, event.what)
    console, first = Console(), next(event.end for event in events if event.step == "commit")
    console.print(table)
    empty = baseline + sum(event.end - event.begin for event in before if event.step == "Ray")
    console.print(f"First images after {first:.1f} s, of which {first - flow:.1f} s in the flow.")
    console.print(f"First row of an empty flow after {empty:.1f} s, of which {baseline:.1f} s in the flow.")
    console.print(f"Ratio: {first / empty:.2f}")


def measure_start(folder: Path) -> "tuple[list[Event], list[Event], float]":
    """Convert the photos of the demo.

    Returns:
        The events before the flow and in the flow, in seconds from the start without the empty flow, and the seconds of
        the empty flow.
    """
    from jobs.bench.events import Event

    begin = time.time()
    before: list[Event] = []

    def mark(step: str, what: str) -> None:
        before.append(Event(step, what, before[-1].end if before else 0.0, time.time() - begin))

    from jobs.demo_photos import write_demo_manifest
    from pipeline.plan.preflight import preflight
    from pipeline.recipes.load import load_recipe
    from schemas.options import Options

    output, spans = str(folder / "out"), folder / "spans"
    spans.mkdir()
    manifest, options = write_demo_manifest(folder), Options(unit_size=UNIT_ROWS)
    begin = time.time()
    with preflight(str(manifest), output, load_recipe("demo"), options, lambda _done, _photos: None) as run:
        mark("this process", "check and plan")
        import ray.data  # noqa: F401 - the import is measured

        from pipeline.execution.cluster import connect_ray

        mark("Ray", "import Ray Data")
        with connect_ray(None):
            mark("Ray", "start Ray")
            baseline, events = _measure_flows(run, options, output, spans)
    offset = begin + baseline
    return before, [Event(each.step, each.what, each.begin - offset, each.end - offset) for each in events], baseline


def _measure_flows(run: "RunPlan", options: "Options", output: str, spans: Path) -> "tuple[float, list[Event]]":
    """Return the seconds of the empty flow, and the events of the flow of a run."""
    from jobs.bench.events import read_events
    from jobs.bench.flow import measure_empty_flow
    from jobs.bench.timed_steps import timed_chain
    from pipeline.execution import pools
    from pipeline.execution.progress import RunProgress
    from pipeline.output.run_file import RunMetadata, project_version
    from pipeline.plan.remaining import store_plan
    from pipeline.run import convert_units
    from pipeline.steps.chain import ChainSettings, run_chain
    from pipeline.steps.commit import Commit

    resources = pools.plan_resources(run, options)
    baseline = measure_empty_flow()
    work = store_plan(run.work, run.new, output)
    commit = Commit(output, RunMetadata("bench", run.recipe, project_version(), None), keep_maps=True)
    settings = ChainSettings.of(run, resources.gpu_detectors, keep_maps=True)
    chain = timed_chain(run_chain(settings, commit), str(spans))
    log = logging.LoggerAdapter(logging.getLogger("photo2anime.bench"), {})
    convert_units(work, chain, resources, options, RunProgress(), log)
    return baseline, read_events(spans)
