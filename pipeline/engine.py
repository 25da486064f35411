"""Ray around the flow: started or joined, quiet, and its errors turned into ours."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.commit import Commit
from pipeline.faults import StoppedFault
from pipeline.options import Options
from pipeline.prepare import Prepared


@contextmanager
def started(options: Options) -> Iterator[None]:
    """Start Ray, or join the cluster that the options name. Raises `StorageFault` where that cannot be."""
    if not options.verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when Ray is imported
    # Here, not above: Ray takes seconds to import, and a run with nothing to do needs none of it.
    from pipeline.cluster import connected

    with connected(options.address, verbose=options.verbose):
        yield


def flowing(prepared: Prepared, commit: Commit, options: Options) -> Iterator[pa.Table]:
    """Yield what was committed, unit by unit. Raises `StoppedFault` for whatever ends the work early."""
    import ray

    from pipeline.cluster import assemble
    from pipeline.flow import photos_to_anime

    longest = max(unit.num_rows for unit in prepared.work.units.values())
    crew = assemble(longest, options.gpus, verbose=options.verbose)
    try:
        yield from photos_to_anime(prepared, commit, crew)
    except ray.exceptions.RayError as error:
        raise _stopped(error) from error


def _stopped(error: BaseException) -> StoppedFault:
    """Return the fault that ended the work: ours where a step raised one, else the last line of Ray's.

    Ray hands over a step's error as text alone: the class and the message stand at the end of its traceback.
    """
    ours = re.search(r"^pipeline\.faults\.\w+: (.+)$", str(error), re.MULTILINE)
    if ours:
        return StoppedFault(ours.group(1))
    last = [line for line in str(error).splitlines() if line.strip()][-1]
    return StoppedFault(f"the work ended early: {last}", "Run it again with --verbose to see the whole; it goes on.")
