"""Check the lease of an output in the workers of a run."""

from pipeline.output.lease import Lease
from pipeline.output.lease_holder import lost_error


def check_holder(output: str, holder: str) -> None:
    """Check in a worker that its run still has the lease of the output.

    Args:
        output: The address of the output.
        holder: The identifier of the holder.

    Raises:
        LeaseLostError: Another process has the lease, or it was deleted.
    """
    lease = Lease(output, "")
    # The file may be replaced between its listing and its reading.
    current = lease.current() or lease.current() or lease.current()
    if current is None or current.holder != holder:
        raise lost_error(output, current)
