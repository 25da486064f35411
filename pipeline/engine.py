"""Ray around the flow: started or joined, quiet, and its errors turned into ours."""

from collections.abc import Iterator

import pyarrow as pa

from pipeline.commit import Commit
from pipeline.faults import RunFault, StoppedFault
from pipeline.options import Options
from pipeline.plan import Work
from pipeline.prepare import Prepared


def flowing(work: Work, prepared: Prepared, commit: Commit, options: Options) -> Iterator[pa.Table]:
    """Yield what was committed, unit by unit. Raises `StoppedFault` for whatever ends the work early."""
    # Here, not above: Ray takes seconds to import, and a run with nothing to do needs none of it.
    import ray

    from pipeline.cluster import assemble, connected
    from pipeline.flow import photos_to_anime

    units = list(work.units.values())
    with connected(options.address, verbose=options.verbose):
        crew = assemble(max(unit.num_rows for unit in units), options.gpus, verbose=options.verbose)
        try:
            yield from photos_to_anime(units, prepared.recipe, prepared.allowed, prepared.blank, commit, crew)
        except ray.exceptions.RayError as error:
            raise _stopped(error) from error


def _stopped(error: BaseException) -> StoppedFault:
    """Return the fault that ended the work: ours where a step raised one, else the last line of Ray's."""
    cause = getattr(error, "cause", None) or error.__cause__
    for found in (cause, getattr(cause, "cause", None)):
        if isinstance(found, RunFault):
            return StoppedFault(str(found))
    last = [line for line in str(error).splitlines() if line.strip()][-1]
    return StoppedFault(f"the work ended early: {last}", "Run it again with --verbose to see the whole; it goes on.")
