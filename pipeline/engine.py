"""Ray around the flow: started or joined, quiet, and its errors turned into ours."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.commit import Commit
from pipeline.faults import StoppedFault
from pipeline.options import Options
from pipeline.prepare import Prepared

if TYPE_CHECKING:
    from pipeline.crew import Crew, Machines
    from pipeline.run import Follower


@contextmanager
def started(options: Options) -> Iterator[None]:
    """Start Ray, or join the cluster that the options name. Raises `StorageFault` where that cannot be."""
    if not options.verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when Ray is imported
    # Here, not above: Ray takes seconds to import, and a run with nothing to do needs none of it.
    from pipeline.cluster import connected

    with connected(options.address, verbose=options.verbose):
        yield


def crew_of(prepared: Prepared, options: Options, follower: "Follower") -> tuple["Crew", dict[str, Any]]:
    """Return who does what, and the account of it for `_run.json`; a run that is worth it measures some photos first.

    Raises `StorageFault` for a cluster that is too small, `StoppedFault` for what fails while measuring.
    """
    from pipeline import crew, placement
    from pipeline.calibrate import LEAST_WORK

    there = crew.machines(options.gpus)
    on_gpu = placement.on_gpu(prepared.recipe) - prepared.blank if there.gpus else frozenset()
    worth = options.calibrate if options.calibrate is not None else prepared.work.rows >= LEAST_WORK
    spent = _measured(prepared, there, on_gpu) if worth else None
    shared = spent and spent | {"controls": spent["controls"] / options.variants}  # variants share their photo's maps
    pools = crew.size_pools(there, shared, growing=bool(options.gpus), maps_alone=prepared.recipe.mode == "maps")
    longest = max(unit.num_rows for unit in prepared.work.units.values())
    unmeasured = "no photo came through to be measured" if worth else "too little work to measure the steps first"
    processes = f"{pools.drawers} for control maps" + f", {pools.converters} for pictures" * bool(pools.converters)
    follower.notice(f"{_times(spent) or unmeasured}; processes: {processes}")
    account = {"milliseconds_per_photo": spent, "pools": asdict(pools), "detectors_on_gpu": sorted(on_gpu)}
    return crew.assemble(longest, there, pools, on_gpu, verbose=options.verbose), account


def flowing(prepared: Prepared, commit: Commit, crew: "Crew") -> Iterator[pa.Table]:
    """Yield what was committed, unit by unit. Raises `StoppedFault` for whatever ends the work early."""
    import ray

    from pipeline.flow import photos_to_anime

    try:
        yield from photos_to_anime(prepared, commit, crew)
    except ray.exceptions.RayError as error:
        raise _stopped(error) from error


def _measured(prepared: Prepared, there: "Machines", on_gpu: frozenset[str]) -> dict[str, float] | None:
    """Return the milliseconds of one photo by stage; None where no photo came through, and nothing is known."""
    import ray

    from pipeline import calibrate

    way, gpu = prepared.without_rows(), {"num_gpus": 1, "num_cpus": 0} if there.gpus else {"num_cpus": 1}
    batch = prepared.recipe.batch_size if there.gpus else 1
    try:
        maps = ray.remote(calibrate.measure_maps).options(num_cpus=1).remote(way, calibrate.chosen(prepared), on_gpu)
        mapped, spent = ray.get(maps)
        if on_gpu or prepared.recipe.mode != "maps":
            pictures = ray.remote(calibrate.measure_pictures).options(**gpu)
            measured: dict[str, float] = ray.get(pictures.remote(way, mapped, batch, on_gpu))
            spent |= measured
    except ray.exceptions.RayError as error:
        raise _stopped(error) from error
    known = {"controls", "convert"} if there.gpus or prepared.recipe.mode != "maps" else {"controls"}
    return spent if known <= spent.keys() else None


def _times(spent: dict[str, float] | None) -> str:
    """Say what was measured; nothing where nothing was."""
    times = ", ".join(f"{stage} {took:.1f}" for stage, took in (spent or {}).items())
    return f"milliseconds for a photo: {times}" if times else ""


_ERROR = re.compile(r"(?!ray\.)[\w.]+(Error|Exception): ")


def _stopped(error: BaseException) -> StoppedFault:
    """Return the fault that ended the work: ours where a step raised one, else the last line of Ray's.

    Ray hands over a step's error as text alone: the class and the message stand at the end of its traceback, with
    Ray's own words behind them.
    """
    ours = re.search(r"^pipeline\.faults\.\w+: (.+)$", str(error), re.MULTILINE)
    if ours:
        return StoppedFault(ours.group(1))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = next((line for line in lines if _ERROR.match(line)), lines[-1])
    return StoppedFault(f"the work ended early: {last}", "Run it again with --verbose to see the whole; it goes on.")
