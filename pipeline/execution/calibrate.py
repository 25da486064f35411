"""Measure how long the steps before commit take for a few photos of the run, to size the pools of processes.

`measure_maps` runs as a Ray task with one core. `measure_conversion` runs as a Ray task with one GPU, or with one core
in a cluster without GPUs. Before the measurement, the first photo is processed once to load the networks.
"""

import logging
from dataclasses import asdict
from statistics import median
from typing import Any

import pyarrow as pa
import ray

from pipeline.execution.pools import (
    ClusterResources,
    Milliseconds,
    StepResources,
    cluster_resources,
    size_pools,
    step_resources,
)
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.plan.load_unit import load_unit
from pipeline.plan.preflight import RunPlan
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.chain import ChainSettings, TableFunction, fetch_step, photo_steps
from schemas.arrow import to_rows, to_table
from schemas.options import Options
from schemas.work import Planned, Unit

LOGGER = logging.getLogger("photo2anime.run")

CALIBRATION_PHOTOS = 4  # photos that are measured
CALIBRATION_THRESHOLD = 64  # images; by default, smaller runs skip the calibration, which takes half a minute
STEPS_BEFORE_IMAGES = 2  # decode and control maps


def plan_resources(run: RunPlan, options: Options) -> tuple[StepResources, dict[str, Any]]:
    """Choose the Ray resources of the steps, from a calibration or by default values.

    `options.calibrate` decides whether to calibrate. If it is None, runs of at least `CALIBRATION_THRESHOLD` images are
    calibrated.

    Returns:
        The resources, and the measured times and pool sizes as metadata for `_run.json`.

    Raises:
        ClusterError: The cluster is too small.
        RunStoppedError: The calibration failed.
    """
    cluster = cluster_resources(options.gpus)
    gpu_detectors = run.recipe.gpu_detectors - run.blank if cluster.gpus else frozenset[str]()
    calibrate = options.calibrate if options.calibrate is not None else run.work.rows >= CALIBRATION_THRESHOLD
    measured = _measure(run, cluster, gpu_detectors) if calibrate else None
    # The variants of a photo share its control maps, which therefore take less time for each image.
    per_image = measured and measured | {"controls": measured["controls"] / options.variants}
    sizes = size_pools(cluster, per_image, growing=bool(options.gpus), only_maps=run.recipe.mode == "maps")
    pools = _describe_pools(sizes.control_maps, sizes.convert)
    LOGGER.info("%s; %s", _describe_times(measured, calibrated=calibrate), pools)
    metadata = {"milliseconds_per_photo": measured, "pools": asdict(sizes), "detectors_on_gpu": sorted(gpu_detectors)}
    return step_resources(cluster, sizes, gpu_detectors, verbose=options.verbose), metadata


def calibration_rows(run: RunPlan) -> pa.Table:
    """Return the rows to measure: the first rows of units that are evenly spaced over the remaining work."""
    count = min(CALIBRATION_PHOTOS, run.work.units.num_rows)
    units = run.work.units.take([index * run.work.units.num_rows // count for index in range(count)])
    renderer = PromptRenderer(run.recipe, run.prompt_columns)
    return to_table([load_unit(unit, renderer)[0] for unit in to_rows(units, Unit)], Planned)


def measure_maps(settings: ChainSettings, rows: pa.Table) -> tuple[pa.Table, Milliseconds]:
    """Return rows with control maps, and the milliseconds of fetch, decode and controls for one photo.

    `settings` must have no map cache, because reading a cached map does not show how fast a detector is.
    """
    steps: list[TableFunction] = [
        fetch_step(settings),
        *(step.create() for step in photo_steps(settings)[:STEPS_BEFORE_IMAGES]),
    ]
    mapped = _run_warm(steps, rows)
    return mapped, _milliseconds(mapped, ("fetch", "decode", "controls"))


def measure_conversion(settings: ChainSettings, mapped: pa.Table, batch: int) -> Milliseconds:
    """Return the milliseconds of convert and encode for one photo. Convert includes the maps that a GPU detects.

    In mode maps, no image is generated, and `convert` is the time in which the GPU detects maps. A stage that no photo
    completed is left out.

    Args:
        settings: The settings of the chain.
        mapped: Rows that `measure_maps` returned. They are repeated to fill a batch.
        batch: The number of images that are generated together.
    """
    before = _milliseconds(mapped, ("controls",))
    mapped = pa.concat_tables([mapped] * -(-batch // max(1, mapped.num_rows)))
    steps = [step.create() for step in photo_steps(settings)[STEPS_BEFORE_IMAGES:]]
    measured = _milliseconds(_run_warm(steps, mapped), ("controls", "convert", "encode"))
    if "convert" not in measured and ("controls" not in measured or settings.recipe.mode != "maps"):
        return {}
    # The time of `controls` includes the time that `measure_maps` measured. The difference is the GPU detectors' time.
    maps = measured.pop("controls", 0.0) - before.get("controls", 0.0)
    return measured | {"convert": measured.get("convert", 0.0) + max(0.0, maps)}


def _measure(run: RunPlan, cluster: ClusterResources, gpu_detectors: frozenset[str]) -> Milliseconds | None:
    """Return the milliseconds of one photo by stage.

    Returns None if a stage that determines the pool sizes has no measurement. This happens if no photo completed the
    stage. It also happens in mode `maps` on a cluster with GPUs, if no detector of the recipe runs on a GPU.
    """
    settings = ChainSettings.of(run, gpu_detectors, keep_maps=False)
    settings = settings.without_map_cache()
    gpu = {"num_gpus": 1, "num_cpus": 0} if cluster.gpus else {"num_cpus": 1}
    batch = run.recipe.batch_size if cluster.gpus else 1
    images = bool(gpu_detectors) or run.recipe.mode != "maps"
    try:
        maps = ray.remote(measure_maps).options(num_cpus=1).remote(settings, calibration_rows(run))
        mapped, measured = ray.get(maps)
        if images:
            conversion = ray.remote(measure_conversion).options(**gpu).remote(settings, mapped, batch)
            times: Milliseconds = ray.get(conversion)
            measured |= times
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
    needed = {"controls", "convert"} if cluster.gpus or run.recipe.mode != "maps" else {"controls"}
    return measured if needed <= measured.keys() else None


def _run_warm(steps: list[TableFunction], rows: pa.Table) -> pa.Table:
    """Apply the steps to the first row, so that they load their models, then to all rows. Returns all rows."""
    first = rows.slice(0, 1)
    for step in steps:
        first = step(first)
    for step in steps:
        rows = step(rows)
    return rows


def _milliseconds(rows: pa.Table, stages: tuple[str, ...]) -> Milliseconds:
    """Return the median time of each stage over the rows that did not fail, without stages that no row has."""
    done = rows.filter(rows["failure"].is_null())
    timings = done["timing"].to_pylist()
    seconds = {stage: [timing["seconds"][stage] for timing in timings] for stage in stages}
    known = {stage: [value for value in values if value is not None] for stage, values in seconds.items()}
    return {stage: round(1000 * median(values), 3) for stage, values in known.items() if values}


def _describe_times(measured: Milliseconds | None, *, calibrated: bool) -> str:
    if measured:
        times = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in measured.items())
        return f"milliseconds per photo: {times}"
    return "calibration: incomplete, default sizes" if calibrated else "calibration: skipped, default sizes"


def _describe_pools(control_maps: int, convert: int) -> str:
    processes = f"processes: {control_maps} for control maps"
    return f"{processes}, {convert} for images" if convert else processes
