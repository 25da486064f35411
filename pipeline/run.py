"""One run of convert: all checks first, then the plan, then the flow, then the report.

Nothing is written to the output before all checks have passed, and only one run at a time writes to it. If the process
is killed, the same call converts the units that have no record yet.
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline import storage
from pipeline.errors import OptionError, PlanConflictError, RunError, RunStoppedError
from pipeline.execution.driver_memory import release_memory
from pipeline.execution.lost_batches import LostBatchesError
from pipeline.execution.progress import RunProgress
from pipeline.execution.results import FailureRate, Results, RunLog
from pipeline.execution.signal_errors import signal_errors_kept
from pipeline.models import checks
from pipeline.output import run_file
from pipeline.output.lease import Lease, lease_of
from pipeline.output.record_writer import RecordWriter
from pipeline.output.report import write_report
from pipeline.output.run_file import FINISHED, RUNNING, RunMetadata, git_commit, project_version
from pipeline.plan.preflight import MANIFEST_FILE, RunPlan, check_caches, check_unchanged, preflight
from pipeline.plan.remaining import RemainingWork, store_plan
from pipeline.quiet import silence_ray
from pipeline.recipes.load import load_recipe
from pipeline.steps.chain import Chain, ChainSettings, run_chain
from pipeline.steps.commit import Commit
from pipeline.storage.transfer import upload
from schemas.options import Options
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.execution.pools import StepResources

LOGGER = logging.getLogger("photo2anime.run")

PLAN_ATTEMPTS = 5

_ABSENT_ROWS = (
    "%d planned rows without an image are not in this manifest; convert their manifest,"
    " or drop them with --removed-photos drop"
)

_RECOVERED_ROWS = "%d rows with a record were in no plan: they were planned again in the units of their records"


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        run_id: The identifier of the run, or of the last run if there was nothing to do.
        output: Absolute address of the output.
        converted: Rows of the units of this run that did not fail. With `retry_failed`, some were converted earlier.
        failed: Rows that failed in the units of this run.
        earlier: Rows of the manifest whose units earlier runs completed, failed rows included.
        failed_in_all: Failed rows of all runs on this output, without superseded ones.
        maps_detected: Control maps that were detected for the units of this run.
        maps_cached: Control maps that were reused from another row, recipe or run.
        seconds: Duration of the run.
    """

    run_id: str
    output: str
    converted: int
    failed: int
    earlier: int
    failed_in_all: int
    maps_detected: int
    maps_cached: int
    seconds: float


def convert(
    manifest: str,
    output: str,
    recipe: str | Recipe,
    options: Options | None = None,
    progress: RunProgress | None = None,
) -> Summary:
    """Convert the photos of a manifest.

    Args:
        manifest: Address of a Parquet manifest, or of a folder of photos.
        output: Address of the output.
        recipe: Name of a shipped recipe, address of a recipe file, or a recipe.
        options: The options of the run.
        progress: Receives the progress of the run.

    Raises:
        RunError: A check failed, Ray cannot be started or reached, or the output cannot be written, or another run
            writes to it. No photo was converted.
        RunStoppedError: The run ended early. The same call continues it.
    """
    if not output:
        raise OptionError("output: the address is empty", "Name a folder or a bucket address.")
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    output = storage.absolute(output)  # workers may have another working folder
    options, progress = options or Options(), progress or RunProgress()
    with lease_of(output, "maps" if recipe.mode == "maps" else "convert") as lease:
        for _ in range(PLAN_ATTEMPTS - 1):
            try:
                return _convert(manifest, recipe, options, progress, lease)
            except PlanConflictError:
                LOGGER.info("%s: another run wrote to it at the same time; planning again", storage.redact(output))
        return _convert(manifest, recipe, options, progress, lease)


def _convert(manifest: str, recipe: Recipe, options: Options, progress: RunProgress, lease: Lease) -> Summary:
    """Convert the photos of a manifest. Raises `PlanConflictError` if another run wrote to the output meanwhile."""
    begin, output = time.monotonic(), lease.output
    with preflight(manifest, output, recipe, options, progress.listing) as run:
        if run.work.absent_rows and options.limit is None:
            LOGGER.warning(_ABSENT_ROWS, run.work.absent_rows)
        if _is_finished(run):
            return _summary(run, run.last_run or {}, output, Counter(), begin)
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        metadata = RunMetadata(run_id, recipe, project_version(), git_commit())
        if lease.acquire(run_id):
            check_unchanged(run, output)
        if not run.work.units.num_rows:
            with _started(run, metadata, output):
                _write_start(run, metadata, output)
                return _finish(run, metadata, output, Counter(), {}, begin)
        check_caches(run)
        log = logging.LoggerAdapter(LOGGER, {"run": run_id})
        for text in _notices(run):
            log.info(text)
        with _ray(options):
            from pipeline.execution import pools

            resources = pools.plan_resources(run, options)
            with _started(run, metadata, output):
                work = _write_start(run, metadata, output)
                settings = ChainSettings.of(run, resources.gpu_detectors, keep_maps=options.keep_maps)
                commit = Commit(output, metadata, keep_maps=options.keep_maps, holder=lease.identifier)
                chain = run_chain(settings, commit)
                counts = convert_units(work, chain, resources, options, progress, log)
                return _finish(run, metadata, output, counts, resources.metadata, begin)


@contextmanager
def _ray(options: Options) -> Iterator[None]:
    """Start Ray, or connect to the cluster of the options. Raises `ClusterError` if that fails."""
    if not options.verbose:
        silence_ray()
    # Imported here because Ray takes seconds to import, and a run that has nothing to do does not need it.
    from pipeline.execution.cluster import connect_ray

    with connect_ray(options.address, options.cpus, options.object_store_memory, verbose=options.verbose):
        yield


@contextmanager
def _started(run: RunPlan, metadata: RunMetadata, output: str) -> Iterator[None]:
    """Write the run file, and write to it if an error stops the run.

    Raises every `RunError` as `RunStoppedError`, because the work has started, except `PlanConflictError`.
    """
    run_file.write_run_file(output, metadata, {"status": RUNNING, "rows": run.work.rows})
    try:
        with signal_errors_kept():
            yield
    except BaseException as error:
        run_file.write_stopped(output, metadata, run.work.rows, error)
        if not isinstance(error, RunError) or isinstance(error, (RunStoppedError, PlanConflictError)):
            raise
        raise RunStoppedError.of(error) from error


def _is_finished(run: RunPlan) -> bool:
    """Return whether the last run finished, and there is nothing to convert or to plan."""
    last_run = run.last_run or {}
    is_complete = last_run.get("status") == FINISHED and "failed_in_all" in last_run
    return not run.work.units.num_rows and run.new is None and run.recovered is None and is_complete


def _notices(run: RunPlan) -> list[str]:
    """Return messages about missing weights, unpinned models and rows that were processed before."""
    blank = [f"no weights for {name}: its maps are blank unless the manifest provides them" for name in run.blank]
    branches = [
        f"{name}: the weights of this revision may change; pin a commit, or lock the recipe"
        for name in checks.unpinned_models(run.recipe, run.blank)
    ]
    done, left = run.work.done_rows, run.work.rows
    return [*sorted(blank), *branches, *([f"{done} rows were processed before, {left} are left"] if done else [])]


def _write_start(run: RunPlan, metadata: RunMetadata, output: str) -> RemainingWork:
    """Write the recipe, the listed photos and the plan.

    Returns the work, whose units name the files of the written plan instead of temporary ones.
    """
    run_file.store_recipe(output, metadata.recipe)
    if run.listed is not None:
        upload(run.listed, storage.join(output, MANIFEST_FILE))
    work = store_plan(run.work, run.recovered, output)
    if run.recovered is not None:
        LOGGER.info(_RECOVERED_ROWS, run.recovered.rows)
    return store_plan(work, run.new, output)


def convert_units(
    work: RemainingWork,
    chain: Chain,
    resources: "StepResources",
    options: Options,
    progress: RunProgress,
    log: RunLog,
) -> Counter[str]:
    """Convert the units that are left. Returns the numbers of `converted`, `failed`, `detected` and `cached`.

    The first two count rows, the others control maps.

    Raises:
        TooManyFailuresError: More rows failed than the options allow.
        RunStoppedError: The work ended early.
    """
    from pipeline.execution import isolation

    planned, output = work.rows, chain.commit.output
    pending = dict(zip(work.units["unit"].to_pylist(), work.units["pending"].to_pylist(), strict=True))
    records = RecordWriter(output, pending, keep_done=work.keep_done)
    results = Results(records, FailureRate(output, planned, options.max_failure_rate), progress, log)
    release_memory()  # of planning
    progress.begin(planned)
    while work.units.num_rows:
        _convert_together(work, chain, resources, results)
        work = isolation.unfinished_work(work, records.received_keys(), chain.load)
        alone = isolation.first_rows(work, chain.load)
        if not alone.units.num_rows:
            break
        log.warning("processing %d rows of lost batches one at a time", alone.units.num_rows)
        _convert_alone(alone, chain, resources, results)
        work = isolation.unfinished_work(work, records.received_keys(), chain.load)
    records.finish()
    return results.counts


def _convert_together(work: RemainingWork, chain: Chain, resources: "StepResources", results: Results) -> None:
    """Convert rows in batches. Stops early if many batches are lost one after the other."""
    from pipeline.flow import photos_to_anime

    try:
        for rows in photos_to_anime(work, chain, resources):
            results.add(rows)
    except LostBatchesError as error:
        results.log.warning("%s", error)


def _convert_alone(alone: RemainingWork, chain: Chain, resources: "StepResources", results: Results) -> None:
    """Convert rows, one at a time. The rows that are lost again become failures.

    Raises:
        WorkersFailedError: The models of a step cannot be loaded, so that the photos are not at fault.
    """
    from pipeline.execution import isolation
    from pipeline.execution.stage_log import StageLog
    from pipeline.flow import photos_to_anime

    stages = StageLog()
    for rows in photos_to_anime(alone, chain, resources.one_at_a_time(), stages):
        results.add(rows)
    lost = isolation.unfinished_work(alone, results.records.received_keys(), chain.load)
    for rows in isolation.failures(lost, stages.reached(), chain):
        results.add(rows)


def _finish(
    run: RunPlan, metadata: RunMetadata, output: str, counts: Counter[str], resources: dict[str, Any], begin: float
) -> Summary:
    """Write the report and the run file, and return the summary."""
    failed_in_all = write_report(output, metadata, counts)
    last_run = {"run_id": metadata.run_id, "failed_in_all": failed_in_all}
    summary = _summary(run, last_run, output, counts, begin)
    run_file.write_run_file(output, metadata, {"status": FINISHED, **asdict(summary), **resources})
    return summary


def _summary(run: RunPlan, last_run: dict[str, Any], output: str, counts: Counter[str], begin: float) -> Summary:
    return Summary(
        run_id=last_run["run_id"],
        output=output,
        converted=counts["converted"],
        failed=counts["failed"],
        earlier=run.work.done_rows,
        failed_in_all=last_run["failed_in_all"],
        maps_detected=counts["detected"],
        maps_cached=counts["cached"],
        seconds=round(time.monotonic() - begin, 3),
    )
