"""How long each step takes for photos of this very run: a few of them, the whole way but for writing, before it begins.

`measure_maps` runs where a core is free, `measure_conversion` on a GPU or a core; neither knows Ray.
The first photo is drawn once more than is counted: it loads networks and meets cold caches.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

import pyarrow as pa
import ray

from pipeline.execution.pools import ClusterResources, StepResources, cluster_resources, size_pools, step_resources
from pipeline.execution.progress import RunProgress
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.plan.preflight import RunPlan
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode, decode_settings
from pipeline.steps.encode import encode_step
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker
from pipeline.steps.row_step import RowStep
from schemas.options import Options
from schemas.work import DECODED, FETCHED, Row

CALIBRATION_PHOTOS = 4  # that are measured
CALIBRATION_THRESHOLD = 64  # pictures of a run for which it is worth the half minute

Step = Callable[[pa.Table], pa.Table]


def calibration_rows(run: RunPlan) -> pa.Table:
    """Return the rows to measure: photos from all over the work, one variant of each."""
    units = list(run.work.units.values())
    every = max(1, len(units) // CALIBRATION_PHOTOS)
    return pa.concat_tables([unit.slice(0, 1) for unit in units[::every][:CALIBRATION_PHOTOS]])


def measure_maps(run: RunPlan, rows: pa.Table, left: frozenset[str]) -> tuple[pa.Table, dict[str, float]]:
    """Return `rows` behind the control maps, and the milliseconds of fetch, decode and controls for one photo.

    `left` names the detectors that a GPU draws. No cache is asked: it says nothing of a detector's pace.
    """
    steps: list[Step] = [
        RowStep("fetch", partial(fetch, allowed=run.allowed), FETCHED),
        RowStep("decode", partial(decode, **decode_settings(run.recipe, run.blank)), DECODED),
        ControlMaps(run.recipe, run.blank, left),
    ]
    mapped = _measured(steps, rows)
    return mapped, _milliseconds(mapped, ("fetch", "decode", "controls"))


def measure_conversion(run: RunPlan, mapped: pa.Table, batch: int, on_gpu: frozenset[str]) -> dict[str, float]:
    """Return the milliseconds of convert and encode for one photo; `convert` holds the maps that a GPU draws.

    `batch` is how many photos are drawn at once: fewer rows would pay for places that stay empty, so they are repeated.
    """
    before = _milliseconds(mapped, ("controls",))
    mapped = pa.concat_tables([mapped] * -(-batch // max(1, mapped.num_rows)))
    steps: list[Step] = [GpuWorker(run.recipe, on_gpu, compile_cache=run.compile_cache)]
    if run.recipe.mode != "maps":
        steps.append(encode_step(run.recipe))
    spent = _milliseconds(_measured(steps, mapped), ("controls", "convert", "encode"))
    maps = spent.pop("controls", 0.0) - before.get("controls", 0.0)  # of this process alone
    return spent | {"convert": spent.get("convert", 0.0) + max(0.0, maps)}


def _measured(steps: list[Step], rows: pa.Table) -> pa.Table:
    """Take `rows` through loaded steps; the first row goes ahead, so that they are."""
    ahead = rows.slice(0, 1)
    for step in steps:
        ahead = step(ahead)
    for step in steps:
        rows = step(rows)
    return rows


def _milliseconds(rows: pa.Table, stages: tuple[str, ...]) -> dict[str, float]:
    """Return the median of each stage over the rows that did not fail; nothing where all did."""
    done: list[Row] = [row for row in rows.select(["seconds", "failure"]).to_pylist() if not row["failure"]]
    spent = {stage: [row["seconds"][stage] for row in done if row["seconds"][stage] is not None] for stage in stages}
    return {stage: round(1000 * median(seconds), 3) for stage, seconds in spent.items() if seconds}


def plan_resources(prepared: RunPlan, options: Options, follower: RunProgress) -> tuple[StepResources, dict[str, Any]]:
    """Return who does what, and the account of it for `_run.json`; a run that is worth it measures some photos first.

    Raises `StorageError` for a cluster that is too small, `RunStoppedError` for what fails while measuring.
    """
    there = cluster_resources(options.gpus)
    on_gpu = prepared.recipe.gpu_detectors - prepared.blank if there.gpus else frozenset()
    worth = options.calibrate if options.calibrate is not None else prepared.work.rows >= CALIBRATION_THRESHOLD
    spent = _measure(prepared, there, on_gpu) if worth else None
    shared = spent and spent | {"controls": spent["controls"] / options.variants}  # variants share their photo's maps
    pools = size_pools(there, shared, growing=bool(options.gpus), maps_alone=prepared.recipe.mode == "maps")
    longest = max(unit.num_rows for unit in prepared.work.units.values())
    unmeasured = "no photo came through to be measured" if worth else "too little work to measure the steps first"
    processes = f"{pools.drawers} for control maps" + f", {pools.converters} for pictures" * bool(pools.converters)
    follower.notice(f"{_times(spent) or unmeasured}; processes: {processes}")
    account = {"milliseconds_per_photo": spent, "pools": asdict(pools), "detectors_on_gpu": sorted(on_gpu)}
    return step_resources(longest, there, pools, on_gpu, verbose=options.verbose), account


def _measure(prepared: RunPlan, there: ClusterResources, on_gpu: frozenset[str]) -> dict[str, float] | None:
    """Return the milliseconds of one photo by stage; None where no photo came through, and nothing is known."""
    way, gpu = prepared.without_rows(), {"num_gpus": 1, "num_cpus": 0} if there.gpus else {"num_cpus": 1}
    batch = prepared.recipe.batch_size if there.gpus else 1
    try:
        maps = ray.remote(measure_maps).options(num_cpus=1).remote(way, calibration_rows(prepared), on_gpu)
        mapped, spent = ray.get(maps)
        if on_gpu or prepared.recipe.mode != "maps":
            pictures = ray.remote(measure_conversion).options(**gpu)
            measured: dict[str, float] = ray.get(pictures.remote(way, mapped, batch, on_gpu))
            spent |= measured
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
    known = {"controls", "convert"} if there.gpus or prepared.recipe.mode != "maps" else {"controls"}
    return spent if known <= spent.keys() else None


def _times(spent: dict[str, float] | None) -> str:
    """Say what was measured; nothing where nothing was."""
    times = ", ".join(f"{stage} {took:.1f}" for stage, took in (spent or {}).items())
    return f"milliseconds for a photo: {times}" if times else ""
