"""One call of convert on one output: every check first, then the plan, then the flow, then the report.

Nothing is written before all checks have passed. Whatever kills this process, the same call goes on where the
records end.
"""

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import storage
from pipeline.errors import RunError, RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.models import checks
from pipeline.output import plan_store, run_file
from pipeline.output.report import write_report
from pipeline.output.run_file import RunMetadata, git_commit, project_version
from pipeline.plan.preflight import MANIFEST_FILE, RunPlan, preflight
from pipeline.quiet import silence_ray
from pipeline.recipes.load import load_recipe
from pipeline.steps.commit import Commit
from schemas.options import Options
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.execution.pools import StepResources

RUNNING, FINISHED = "running", "finished"


@dataclass(frozen=True)
class Summary:
    """What a run did: `converted` and `failed` rows of its own, `earlier` ones that were done before."""

    run_id: str
    output: str
    converted: int
    failed: int
    earlier: int
    failed_in_all: int
    maps_detected: int  # control maps that detectors drew in this run
    maps_cached: int  # and those that were there, for another variant, recipe or run
    seconds: float


def convert(
    manifest: str,
    output: str,
    recipe: str | Recipe,
    options: Options | None = None,
    follower: RunProgress | None = None,
) -> Summary:
    """Convert the photos of `manifest` (Parquet, or a folder of pictures) into `output`, and return what was done.

    `recipe` is a shipped recipe's name, a file, or a `Recipe`. Raises `RunError` before any work, and `RunStoppedError`
    when the work ended early.
    """
    began, options, follower = time.monotonic(), options or Options(), follower or RunProgress()
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    output = storage.absolute(output)  # workers may have another working folder
    prepared = preflight(manifest, output, chosen, options, follower.listing)
    account, work = prepared.account, prepared.work
    if not work.units and not prepared.fresh.num_rows and account is not None and account["status"] == FINISHED:
        return Summary(account["run_id"], output, 0, 0, work.done_rows, account["failed_in_all"], 0, 0, _since(began))
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    facts = RunMetadata(run_id, chosen, project_version(), git_commit())
    for text in _notices(prepared) if work.units else ():
        follower.notice(text)
    with _started(options) if work.units else nullcontext():
        if work.units:
            from pipeline.execution.calibrate import plan_resources
        crew, measured = plan_resources(prepared, options, follower) if work.units else (None, {})
        _write_beginning(output, prepared, facts)
        try:
            commit = Commit(output, facts, keep_maps=options.keep_maps, keep_done=options.retry_failed)
            counts = _work_through(prepared, commit, crew, options, follower) if crew else Counter[str]()
            failed_in_all = write_report(output, facts, counts)
            summary = Summary(
                run_id, output, counts["converted"], counts["failed"], work.done_rows, failed_in_all,
                counts["detected"], counts["cached"], _since(began),
            )  # fmt: skip
            run_file.write_run_file(output, facts, {"status": FINISHED, **asdict(summary), **measured})
        except RunError as fault:  # the work has begun: whatever stops it now is no refusal any more
            raise RunStoppedError(str(fault), "") from fault
    return summary


@contextmanager
def _started(options: Options) -> Iterator[None]:
    """Start Ray, or join the cluster that the options name. Raises `StorageError` where that cannot be."""
    if not options.verbose:
        silence_ray()
    # Here, not above: Ray takes seconds to import, and a run with nothing to do needs none of it.
    from pipeline.execution.cluster import connect_ray

    with connect_ray(options.address, verbose=options.verbose):
        yield


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _notices(prepared: RunPlan) -> list[str]:
    """Say what is not as the recipe's reader would think."""
    recipe, work = prepared.recipe, prepared.work
    blank = [f"no weights for {name}: its maps are blank unless the manifest brings them" for name in prepared.blank]
    branches = [
        f"{name} is a branch: its weights may change, pin a revision"
        for name in checks.unpinned_models(recipe, prepared.blank)
    ]
    resumed = [f"{work.done_rows} rows were done before, {work.rows} are left"] if work.done_rows else []
    return [*sorted(blank), *branches, *resumed]


def _write_beginning(output: str, prepared: RunPlan, facts: RunMetadata) -> None:
    """Write whose output this is, then the plan: from here on the work is known, and nothing else is needed."""
    run_file.write_run_file(output, facts, {"status": RUNNING, "rows": prepared.work.rows})
    run_file.store_recipe(output, facts.recipe)
    if prepared.listed is not None:
        storage.put_table(storage.join(output, MANIFEST_FILE), prepared.listed)
    if prepared.fresh.num_rows:
        plan_store.write_plan(output, prepared.fresh)


def _work_through(
    prepared: RunPlan, commit: Commit, crew: "StepResources", options: Options, follower: RunProgress
) -> Counter[str]:
    """Run the flow over the units that are left; count rows that were converted and that failed, and their maps."""
    from pipeline.flow import run_flow

    planned, counts = prepared.work.rows, Counter[str]()
    follower.begin(planned)
    for committed in run_flow(prepared, commit, crew):
        failed = sum(committed["failed"].to_pylist())
        counts.update(failed=failed, converted=committed.num_rows - failed)
        counts.update({name: sum(committed[name].to_pylist()) for name in ("detected", "cached")})
        follower.advance(counts["converted"], counts["failed"])
        if counts["failed"] > options.max_failure_rate * planned:
            message = (
                f"{counts['failed']} of {planned} pictures failed,"
                f" more than --max-failure-rate {options.max_failure_rate}"
            )
            raise RunStoppedError(
                message, f"See the failures in {storage.redact(commit.output)}/provenance; a rerun goes on."
            )
    return counts
